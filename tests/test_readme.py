from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from deployments.cli import app

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"


def test_the_lines_of_python_in_the_readme_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    clip, snapshots = (block for block in blocks if "load_model" in block)  # the other one needs a service
    monkeypatch.chdir(tmp_path)
    exec(compile(clip, str(README), "exec"), {})
    with av.open(str(tmp_path / "clip.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 160
    made: dict[str, object] = {}
    exec(compile(snapshots, str(README), "exec"), made)
    stream, there, other = (made[name] for name in ("stream", "there", "other"))
    assert there.frame == other.frame == 237  # type: ignore[attr-defined]
    assert stream.frame == 93  # type: ignore[attr-defined]


def test_every_option_in_the_readme_s_commands_exists() -> None:
    lines = re.findall(r"(?:\.venv/bin/)?longlive ([a-z]+ .*)", README.read_text())
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line.split("   ")[0].split("`")[0], comments=True)
        group = words[:2] if words[0] in ("eval", "prompts", "sessions", "train") else words[:1]
        said = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in words if word.startswith("--")):
            assert option in said, f"{option} of {line}"


def test_the_table_of_numbers_is_what_the_measurements_say() -> None:
    sys.path.insert(0, str(README.parent / "benchmarks"))
    try:
        from table import BEGIN, END, table
    finally:
        sys.path.pop(0)
    written = README.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written.strip() == table(README.parent / "docs" / "numbers").strip()


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))])
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    page = README.parent / name
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert all((page.parent / link).is_file() for link in links if "://" not in link)
