"""Every test that is not slow, in two processes side by side: those of the service, which mostly wait, and the rest.

The second one's output comes when both are done. Ctrl-C reaches both.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile

PYTEST = (sys.executable, "-m", "pytest", "--durations=10")


def main() -> int:
    with tempfile.TemporaryFile("w+") as said:
        # Nobody watches a picture there: it has what the service leaves of the cores.
        behind = ["nice", "-n", "10", *PYTEST, "-m", "not service and not slow and not llm"]
        rest = subprocess.Popen(behind, stdout=said, stderr=subprocess.STDOUT)
        try:
            failed = subprocess.run([*PYTEST, "-m", "service and not slow"], check=False).returncode
        finally:
            failed_too = rest.wait()
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout)
    return failed or failed_too


if __name__ == "__main__":
    sys.exit(main())
