"""A video made once more: it follows its prompts, and is rebuilt before the same chunks as the original was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from deployments.entries import RestoreStep, Step
from deployments.parts import Stream
from deployments.steps import prompt_before
from longlive.snapshot import Snapshot
from longlive.switch import Recache, SwitchMode


def prompt_lost(steps: Sequence[Step], restore: RestoreStep) -> bool:
    """Whether what a video is rebuilt from had another prompt than it has to go on with."""
    return restore.restored_chunk > 0 and restore.text != prompt_before(steps, restore.restored_chunk)


def words_of(steps: Sequence[Step]) -> set[str]:
    """The prompts that a replay of these steps needs itself; those of its switches come when their chunks do."""
    anew = (step for step in steps if isinstance(step, RestoreStep) and not step.restored_chunk)
    lost = (step for step in steps if isinstance(step, RestoreStep) and prompt_lost(steps, step))
    return {steps[0].text} | {step.text for step in (*anew, *lost)}


class Replay:
    """The stream of a render. Its chunks are media chunks: those of the original, from the very first one on.

    `words` are the embeddings of `words_of(steps)`; `open_stream` and `restore_stream` as in `Parts`. Prompts are the
    caller's to switch to. What later chunks are rebuilt from is kept in memory until then.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        seed: int,
        words: Mapping[str, Tensor],
        open_stream: Callable[[Tensor, int], Stream],
        restore_stream: Callable[[Snapshot], Stream],
    ) -> None:
        self._steps = steps
        self._restores = deque(step for step in steps if isinstance(step, RestoreStep))
        self._seed = seed
        self._words = words
        self._open = open_stream
        self._restore = restore_stream
        self._kept: dict[int, Snapshot] = {}
        self._stream = open_stream(words[steps[0].text], seed)
        self._chunk = 0

    @property
    def chunk(self) -> int:
        return self._chunk

    def next_frames(self) -> Tensor:
        self._catch_up()
        frames = self._stream.next_frames()
        self._chunk += 1
        return frames

    def switch(self, prompt: Tensor, mode: SwitchMode) -> None:
        self._catch_up()
        self._stream.switch(prompt, mode)

    def snapshot(self) -> Snapshot:
        return self._stream.snapshot()

    def _catch_up(self) -> None:
        """Rebuild the video for the next chunk, as often as the original was."""
        if self._needs(self._chunk) and self._chunk not in self._kept:
            self._kept[self._chunk] = self._stream.snapshot()
        while self._restores and self._restores[0].chunk == self._chunk:
            self._kept[self._chunk] = self._rebuild(self._restores.popleft())
            self._kept = {chunk: snapshot for chunk, snapshot in self._kept.items() if self._needs(chunk)}

    def _rebuild(self, step: RestoreStep) -> Snapshot:
        """Gives what the video is from now on taken to have been before this chunk."""
        self._seed = self._seed if step.seed is None else step.seed
        if not step.restored_chunk:
            self._stream = self._open(self._words[step.text], self._seed)
            self._stream.next_frames()  # nine frames, which the original did not show either
            return self._stream.snapshot()
        # Written and read, as the original's was: a number may be kept in fewer bits.
        snapshot = Snapshot.unpack(self._kept[step.restored_chunk].pack()).fork(self._seed)
        self._stream = self._restore(snapshot)
        if not prompt_lost(self._steps, step):
            return snapshot
        self._stream.switch(self._words[step.text], Recache())
        return self._stream.snapshot()

    def _needs(self, chunk: int) -> bool:
        return any(step.restored_chunk == chunk for step in self._restores)
