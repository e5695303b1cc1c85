"""Empty wheels, for packages that others require and nobody imports: `stand_in_wheels.py FOLDER NAME==VERSION...`.

Prints the packages, which are constraints as well.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel of metadata alone (PyPA's specification of binary distributions)."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: Stands in; is empty.\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: stand-in\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


def main() -> None:
    folder = Path(sys.argv[1])
    for package in sys.argv[2:]:
        name, _, version = package.partition("==")
        write_wheel(folder, name, version)
        print(package)


if __name__ == "__main__":
    main()
