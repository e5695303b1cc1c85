"""The video files that a command is asked for, and how one is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from longlive.clip import Clip, Seconds, Switch, Time, require_prompt, schedule
from longlive.model import Model
from longlive.pipeline import proceed
from longlive.prompt_files import PromptFile
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream
from longlive.switch import SwitchMode
from longlive.video_file import VideoFile

SEEDS_PER_LINE = 1000


@dataclass(frozen=True)
class Take:
    """One file: how its video begins, at which chunk, and what it shows from there. `source`: what asked for it."""

    out: Path
    seed: int
    begin: Callable[[Model], VideoStream]
    length: Time
    switches: tuple[Switch, ...]
    prompts: tuple[str, ...]
    start: int = 0
    source: str = ""

    def frames(self, model: Model, *, whole: bool) -> int:
        """How many frames the file will have. Raises what `schedule` raises."""
        return schedule(model.config, self.length, self.switches, self.start, whole=whole).frames

    def film(self, model: Model, mode: SwitchMode, *, whole: bool, made: Callable[[int], None]) -> VideoStream:
        """Writes the file; tells of each chunk how many frames it has, and 0 when nothing can be refused any more.

        Returns the stream, at its end.
        """
        config, stream = model.config, self.begin(model)
        chunks = proceed(model, stream, self.length, self.switches, mode, whole=whole)
        with VideoFile(self.out, config.fps, config.width, config.height) as video:
            made(0)
            for frames in chunks:
                video.write(frames)
                made(len(frames))
        return stream


def take_clip(clip: Clip, out: Path, source: str = "") -> Take:
    """A video from its beginning on. Raises InputError for an empty prompt."""
    require_prompt(clip.prompt)

    def begin(model: Model) -> VideoStream:
        return VideoStream(model, model.encode([clip.prompt]), clip.seed)

    prompts = (clip.prompt, *(switch.prompt for switch in clip.switches))
    return Take(out, clip.seed, begin, clip.length, clip.switches, prompts, source=source)


def take_from(
    snapshot: Snapshot, prompt: str | None, length: Time, switches: Sequence[Switch], seed: int | None, out: Path
) -> Take:
    """A video that goes on where another was: under its prompt or a new one, with its noise or that of another seed."""
    past = snapshot if seed is None else snapshot.fork(seed)
    coming = (*(() if prompt is None else (Switch(Seconds(0), prompt),)), *switches)

    def begin(model: Model) -> VideoStream:
        return VideoStream.restore(model, past)

    prompts = tuple(switch.prompt for switch in coming)
    return Take(out, past.head.seed, begin, length, coming, prompts, start=past.head.chunk)


def take_lines(
    file: PromptFile, length: Time, switch_frames: Sequence[int], seed: int, samples: int, folder: Path
) -> list[Take]:
    """`samples` videos of each line in a folder: `INDEX-SAMPLE.mp4`, both counted from 0, blank lines not counted.

    The seed is `seed + 1000 INDEX + SAMPLE`, whatever else is made. Raises what `PromptFile.clips` raises.
    """
    takes = []
    for index, (line, clip) in enumerate(zip(file.lines, file.clips(length, switch_frames), strict=True)):
        for sample in range(samples):
            seeded = replace(clip, seed=seed + SEEDS_PER_LINE * index + sample)
            takes.append(take_clip(seeded, folder / f"{index}-{sample}.mp4", f"{file.path}, line {line.line}"))
    return takes
