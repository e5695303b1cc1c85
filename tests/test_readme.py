from __future__ import annotations

import re
from pathlib import Path

import av
import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_lines_of_python_in_the_readme_make_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(code) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(code[0], str(README), "exec"), {})
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 160
