"""The reference's input files: a prompt on each line, or on each line the prompts of a video in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from longlive.clip import Clip, Latents, Switch, Time
from longlive.errors import InputError


@dataclass(frozen=True)
class PromptLine:
    """A video to make: its prompts in order, and the line of the file that names them, counted from 1."""

    line: int
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class PromptFile:
    """At least one video, each with the same number of prompts."""

    path: Path
    lines: tuple[PromptLine, ...]

    @property
    def segments(self) -> int:
        """How many prompts each video has."""
        return len(self.lines[0].prompts)

    def clips(self, length: Time, switch_frames: Sequence[int] = ()) -> list[Clip]:
        """A clip for each line; prompt i + 1 from the first chunk that starts at latent frame `switch_frames[i]` or
        later. InputError unless there is one number fewer than a line has prompts."""
        if len(switch_frames) != self.segments - 1:
            raise InputError(self._advice(len(switch_frames)))
        return [
            Clip(
                line.prompts[0],
                length,
                tuple(Switch(Latents(at), text) for at, text in zip(switch_frames, line.prompts[1:], strict=True)),
            )
            for line in self.lines
        ]

    def _advice(self, given: int) -> str:
        if self.segments == 1:
            return f"{self.path}: a line has one prompt and nothing to switch to; leave the {given} switch frames out"
        example = ", ".join(str(40 * at) for at in range(1, self.segments))
        return (
            f"{self.path}: a line has {self.segments} prompts, so {self.segments - 1} switch frames are needed and not "
            f'{given}: latent frames, for example "{example}"'
        )


def read_prompt_file(path: Path) -> PromptFile:
    """Reads a `.txt` (a prompt on each line) or a `.jsonl` file (`{"prompts": [...]}` on each line, equally many).

    UTF-8; blank lines are passed over. OSError, or an InputError that names the line and says what to write there.
    """
    parsers: dict[str, Callable[[str], tuple[str, ...]]] = {".txt": _plain, ".jsonl": _json}
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise InputError(f"{path}: give a .txt file with a prompt on each line, or a .jsonl file of {_FORM}")
    lines: list[PromptLine] = []
    for number, text in _lines(path):
        try:
            line = PromptLine(number, parse(text))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if lines and len(line.prompts) != len(lines[0].prompts):
            raise InputError(
                f"{path}, line {number}: it has {len(line.prompts)} prompts and line {lines[0].line} has "
                f"{len(lines[0].prompts)}; give every line equally many, or split the file"
            )
        lines.append(line)
    if not lines:
        raise InputError(f"{path}: the file is empty; write a prompt on each line")
    return PromptFile(path, tuple(lines))


def parse_switch_frames(text: str) -> tuple[int, ...]:
    """`40, 80, 120` as (40, 80, 120). InputError unless they are whole numbers from 0 that increase."""
    try:
        frames = tuple(int(part) for part in text.strip().removesuffix(",").split(","))
    except ValueError:
        frames = ()
    if not frames or frames[0] < 0 or any(later <= earlier for earlier, later in pairwise(frames)):
        raise InputError(f"'{text}' are no switch frames; give latent frames that increase, such as \"40, 80, 120\"")
    return frames


_FORM = '{"prompts": ["...", "..."]}'


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank. Only line feeds part them: a prompt may hold other characters that break lines."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from error
    for number, line_text in enumerate(text.split("\n"), start=1):
        if stripped := line_text.strip():
            yield number, stripped


def _plain(text: str) -> tuple[str, ...]:
    if "\0" in text:
        raise InputError("this is no text; save the file as UTF-8 with a prompt on each line")
    return (text,)


def _json(text: str) -> tuple[str, ...]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON ({error}); write {_FORM}") from error
    prompts = document.get("prompts") if isinstance(document, dict) else None
    if not isinstance(prompts, list) or not prompts:
        raise InputError(f"there is no list of prompts; write {_FORM}")
    for number, prompt in enumerate(prompts, start=1):
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError(f"prompt {number} is {json.dumps(prompt)[:40]}; write what the video shows, in quotes")
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"prompt {number} holds half a character ({error.reason}); write it out") from error
    return tuple(prompts)
