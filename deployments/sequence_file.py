"""A file of prompt sequences in the making: a line for each scene that is done, until there is one for every scene."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from longlive.errors import InputError
from prompt_agent.sequences import PromptSequence


def fingerprint(*inputs: Any) -> str:
    """Short, and another one where any of the inputs is another. Takes what JSON can say."""
    return hashlib.blake2b(json.dumps(inputs).encode(), digest_size=8).hexdigest()


class _Line(BaseModel):
    """A sequence, and the fingerprint of what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_from: str
    sequence: PromptSequence


@dataclass
class Summary:
    """Of the scenes that are done. `left_out`: by trouble. `prompts`: by who wrote them; `warnings`: of these, each
    with how often it came. `dropped`: requests that gave no prompt."""

    lines: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    warnings: Counter[str] = field(default_factory=Counter)

    def add(self, sequence: PromptSequence) -> None:
        self.dropped += sequence.dropped
        if sequence.trouble is not None:
            self.left_out[sequence.trouble.value] += 1
            return
        self.lines += 1
        self.prompts.update(sequence.sources)
        self.warnings.update(sequence.warnings)


class SequenceFile:
    """`OUT.jsonl.part` until it is finished, then `OUT.jsonl`. A line that was written outlives its process."""

    def __init__(self, out: Path, made_from: str) -> None:
        """Touches nothing. `made_from`: the `fingerprint` of all that decides the lines."""
        self.out, self.part = out, out.with_name(f"{out.name}.part")
        self._made_from = made_from
        self.done: set[int] = set()
        self.summary = Summary()

    def open(self, resume: bool) -> None:
        """Begins the file, or with `resume` goes on with it. InputError where there is the other one, or it was made
        from something else; OSError."""
        if self.out.exists():
            raise InputError(f"{self.out} is there already; name another file, or remove it")
        if not resume:
            try:
                self.part.touch(exist_ok=False)
            except FileExistsError:
                raise InputError(
                    f"there is a stopped run in {self.part}: go on with --resume, or remove that file to start anew"
                ) from None
            return
        if not self.part.exists():
            raise InputError(f"there is no stopped run of {self.out}; leave --resume out")
        self._drop_torn_end()
        for _, sequence in self._read():
            self.done.add(sequence.number)
            self.summary.add(sequence)

    def add(self, sequence: PromptSequence) -> None:
        """Writes a line."""
        line = _Line(made_from=self._made_from, sequence=sequence).model_dump_json()
        with self.part.open("a", encoding="utf-8") as part:
            part.write(line + "\n")
        self.done.add(sequence.number)
        self.summary.add(sequence)

    def finish(self) -> None:
        """Writes the sequences that are not left out in the order of their scenes; at least one is needed."""
        places = sorted((sequence.number, at) for at, sequence in self._read() if sequence.trouble is None)
        whole = self.out.with_name(f"{self.out.name}.whole")
        with self.part.open("rb") as part, whole.open("w", encoding="utf-8") as file:
            for _, at in places:
                part.seek(at)
                sequence = self._parsed(part.readline())
                file.write(json.dumps({"prompts": sequence.prompts}, ensure_ascii=False) + "\n")
        os.replace(whole, self.out)
        self.part.unlink()

    def discard(self) -> None:
        """Takes away what was begun."""
        with suppress(FileNotFoundError):
            self.part.unlink()

    def _read(self) -> Iterator[tuple[int, PromptSequence]]:
        """The sequences so far, each with where its line begins, in bytes."""
        at = 0
        with self.part.open("rb") as part:
            for line in part:
                yield at, self._parsed(line)
                at += len(line)

    def _parsed(self, line: bytes) -> PromptSequence:
        try:
            read = _Line.model_validate_json(line)
        except ValidationError:
            raise InputError(f"{self.part} is damaged; remove it to start anew") from None
        if read.made_from != self._made_from:
            raise InputError(
                f"{self.part} was begun with other scenes, requests or options; give those again, or remove it"
            )
        return read.sequence

    def _drop_torn_end(self) -> None:
        """What a process was writing when it was killed."""
        with self.part.open("rb+") as part:
            whole = 0
            for line in part:
                whole += len(line) if line.endswith(b"\n") else 0
            part.truncate(whole)
