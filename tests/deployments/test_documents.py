"""What README and docs/api.md tell people to type, typed at the real service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import av
import pytest
from service_process import ServiceProcess

ROOT = Path(__file__).parents[2]
HERE = "http://127.0.0.1:8000"


def test_the_client_in_the_readme_does_what_it_says(
    service: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = re.findall(r"```python\n([^`]*deployments\.client.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace(HERE, service.url), "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0
    with av.open("clip.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) >= 5 * 16


def test_the_tour_of_the_api_can_be_walked(service: ServiceProcess, tmp_path: Path) -> None:
    """Every command of its blocks in order, in one shell; none may answer with a problem."""
    tour = (ROOT / "docs" / "api.md").read_text().replace(HERE, service.url)
    blocks = re.findall(r"```bash\n(.*?)```", tour, re.DOTALL)
    assert len(blocks) > 6
    (tmp_path / "tour.sh").write_text(_SHELL.format(python=sys.executable) + "\n".join(blocks))
    done = subprocess.run(["bash", "tour.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    with av.open(str(tmp_path / "clip.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) >= 3 * 16


# Stands in for curl: an answer that is no success ends the tour, and what has no end is read for a while.
_SHELL = """set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
curl() {{ command curl --fail-with-body --max-time 60 "$@"; }}
python3() {{ {python} "$@"; }}
"""
