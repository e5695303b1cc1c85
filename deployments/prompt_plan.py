"""Which prompt takes hold with which chunk: a plan that says what is to be stated about each. No clock, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor

from deployments.context import Context
from deployments.entries import (
    BLEND_SECONDS,
    PromptCancelled,
    PromptExpanded,
    PromptRefused,
    PromptRequested,
    PromptScheduled,
)
from deployments.session import CHUNK_FRAMES, chunk_at, chunk_first_frame
from longlive.switch import Blend, Clear, Keep, Recache, SwitchMode

NEWER = "A newer prompt came for the same moment."
PlanFact = PromptExpanded | PromptScheduled | PromptRefused | PromptCancelled


@dataclass(frozen=True)
class Prompt:
    """`asked` as the video shows it. `changes`: of the scene, with this one."""

    asked: PromptRequested
    embeddings: Tensor
    changes: tuple[str, ...] = ()

    def mode(self, fps: int) -> SwitchMode:
        """How the engine takes it up, in a video of `fps` frames a second."""
        match self.asked.mode:
            case "recache":
                return Recache()
            case "keep":
                return Keep()
            case "cut":
                return Clear()
            case "blend":
                seconds = BLEND_SECONDS if self.asked.blend_seconds is None else self.asked.blend_seconds
                return Blend(max(1, math.ceil(seconds * fps / CHUNK_FRAMES - 1e-9)))


@dataclass
class _Waiting:
    number: int
    """Grows with each that is accepted."""
    asked: PromptRequested
    chunk: int
    said: int | None
    """The chunk that was stated."""
    settled: bool = False
    """Whether another owner has stated that it applied."""
    expanded: PromptExpanded | None = None
    embeddings: Tensor | None = None

    @property
    def wording(self) -> PromptRequested | None:
        """The prompt as the video shall show it; None: it is still to be expanded."""
        if self.expanded is None:
            return None if self.asked.expand else self.asked
        return self.asked.model_copy(update={"text": self.expanded.prompt, "mode": self.expanded.mode})

    def shown_after(self, context: Context | None) -> Context | None:
        """What the video shows once it has taken hold; None where nobody knows yet."""
        wording = self.wording
        return None if context is None or wording is None else context.after(wording, self.expanded)

    def built_on_another(self, context: Context) -> bool:
        """Whether it was expanded in another context, and can still be expanded in this one."""
        if self.settled or not self.asked.expand or self.expanded is None:
            return False
        return self.expanded.built_on != context.key

    def yields_to(self, there: _Waiting) -> bool:
        """Whether it waits behind what has its chunk: what is settled, or a whole prompt that has a time of its own."""
        return there.settled or (self.asked.expand and not there.asked.expand and there.asked.at_frame is not None)


class PromptPlan:
    """Prompts that wait for their chunk, at most one for each: of two, the one that was accepted later.

    Add them in the order in which they were accepted, and `begin` each chunk once, in order. What a call gives is to be
    stated in the timeline. A prompt is announced when its chunk is certain: at once where the time was given, else once
    it is read (its embeddings are there). One that is to be expanded changes what is there by then, so it refuses none
    of its kind but waits behind it.
    """

    def __init__(self, fps: int, prompt: str = "") -> None:
        """`prompt` is in force."""
        self._fps = fps
        self._in_force = Context(prompt)
        self._waiting: dict[str, _Waiting] = {}
        self._by_chunk: dict[int, _Waiting] = {}  # the same; asked each time that the device is free, however many wait
        self._accepted = 0
        self._next = 0  # nobody waits for an earlier chunk

    def add(
        self, asked: PromptRequested, chunk: int, said: int | None = None, *, settled: bool = False
    ) -> list[PlanFact]:
        """Accept a prompt while `chunk` is the next one. `said`: the chunk that another owner stated for it; `settled`:
        which it said to have followed it, so that nothing refuses it any more, and what comes later comes behind it.
        """
        wanted = chunk if asked.at_frame is None else max(chunk, chunk_at(asked.at_frame))
        self._accepted += 1
        self._next = max(self._next, chunk)
        waiting = self._waiting[asked.prompt_id] = _Waiting(self._accepted, asked, wanted, said, settled)
        facts = self._place(waiting, new=True)
        self._drop_outdated()
        return facts if asked.at_frame is None else facts + self._say(waiting)

    def read(self, prompt_id: str, embeddings: Tensor) -> list[PlanFact]:
        """The embeddings of a prompt, if it still waits."""
        if (waiting := self._waiting.get(prompt_id)) is None:
            return []
        waiting.embeddings = embeddings
        return self._say(waiting)

    def wording(self, prompt_id: str) -> PromptRequested | None:
        """A prompt as the video shall show it; None while it is not expanded, and if it does not wait."""
        waiting = self._waiting.get(prompt_id)
        return None if waiting is None else waiting.wording

    def worded(self, prompt_id: str) -> bool:
        """Whether it is said already how the video shall show a prompt."""
        waiting = self._waiting.get(prompt_id)
        return waiting is None or waiting.settled or waiting.expanded is not None

    def context(self, prompt_id: str) -> Context | None:
        """What a prompt that waits is to change. None: one before it is not expanded yet, or it does not wait."""
        if (waiting := self._waiting.get(prompt_id)) is None:
            return None
        context: Context | None = self._in_force
        for before in takewhile(lambda each: each is not waiting, self._in_order()):
            context = before.shown_after(context)
        return context

    def expand(self, expanded: PromptExpanded) -> list[PlanFact]:
        """What a prompt was expanded to, if it still waits."""
        if (waiting := self._waiting.get(expanded.prompt_id)) is None:
            return []
        waiting.expanded = expanded
        self._drop_outdated()
        return [expanded]

    def go_on_from(self, context: Context) -> None:
        """What the video shows by now: all that waits is built on it anew."""
        self._in_force = context
        self._drop_outdated()

    def refuse(self, prompt_id: str, reason: str) -> list[PlanFact]:
        """Drop a prompt, if it still waits and is not settled."""
        return [PromptRefused(prompt_id=prompt_id, reason=reason)] if self._drop(prompt_id) else []

    def cancel(self, prompt_id: str) -> list[PlanFact]:
        """Drop a prompt that its author takes back. One that is settled or does not wait stays as it is."""
        return [PromptCancelled(prompt_id=prompt_id)] if self._drop(prompt_id) else []

    def begin(self, chunk: int) -> tuple[Prompt | None, list[PlanFact]]:
        """The prompt that takes hold with `chunk`, which begins now. One that is not read yet waits for the next."""
        self._next = chunk + 1
        waiting = self._by_chunk.pop(chunk, None)
        if waiting is None:
            return None, []
        wording = waiting.wording
        if waiting.embeddings is None or wording is None:
            waiting.chunk = chunk + 1
            facts = self._place(waiting)
            self._drop_outdated()
            return None, facts
        del self._waiting[waiting.asked.prompt_id]
        self._in_force = self._in_force.after(wording, waiting.expanded)
        return Prompt(wording, waiting.embeddings, self._in_force.changes), []

    def unread(self, chunk: int) -> list[PromptRequested]:
        """Prompts up to `chunk` whose embeddings are missing."""
        near = (self._by_chunk.get(each) for each in range(self._next, chunk + 1))
        return [each.asked for each in near if each is not None and each.embeddings is None]

    def holds(self, chunk: int) -> bool:
        """Whether a prompt for `chunk` has still to be read."""
        waiting = self._by_chunk.get(chunk)
        return waiting is not None and waiting.embeddings is None

    def switches(self, chunk: int) -> bool:
        """Whether `chunk` begins with another prompt."""
        waiting = self._by_chunk.get(chunk)
        return waiting is not None and waiting.embeddings is not None

    def _place(self, waiting: _Waiting, *, new: bool = False) -> list[PlanFact]:
        """Have it wait for its chunk, or behind what it yields to there; of two that do, the later. What is to be
        expanded makes room for its kind, and for one that is late: one that is not `new` was before what it meets.
        """
        while (there := self._by_chunk.get(waiting.chunk)) is not None and waiting.yields_to(there):
            waiting.chunk += 1
        if there is not None and there.asked.expand and (waiting.asked.expand or not new):
            first, second = (there, waiting) if new else (waiting, there)
            self._by_chunk[waiting.chunk] = first
            second.chunk += 1
            facts = self._place(second, new=new)
            return facts if second.said is None else facts + self._say(second)
        if there is None or there.number < waiting.number:
            self._by_chunk[waiting.chunk] = waiting
            return [] if there is None else self.refuse(there.asked.prompt_id, NEWER)
        return self.refuse(waiting.asked.prompt_id, NEWER)

    def _drop(self, prompt_id: str) -> bool:
        waiting = self._waiting.get(prompt_id)
        if waiting is None or waiting.settled:
            return False
        del self._waiting[prompt_id]
        if self._by_chunk.get(waiting.chunk) is waiting:
            del self._by_chunk[waiting.chunk]
        self._drop_outdated()
        return True

    def _drop_outdated(self) -> None:
        """Have expanded anew what was built on something else than what is there by then."""
        context: Context | None = self._in_force
        for waiting in self._in_order():
            if context is not None and waiting.built_on_another(context):
                waiting.expanded = waiting.embeddings = None
            context = waiting.shown_after(context)

    def _in_order(self) -> list[_Waiting]:
        return sorted(self._by_chunk.values(), key=lambda each: each.chunk)

    def _say(self, waiting: _Waiting) -> list[PlanFact]:
        if waiting.said == waiting.chunk or waiting.asked.prompt_id not in self._waiting:
            return []
        waiting.said = waiting.chunk
        frame = chunk_first_frame(waiting.chunk)
        return [
            PromptScheduled(
                prompt_id=waiting.asked.prompt_id,
                chunk=waiting.chunk,
                frame=frame,
                media_seconds=frame / self._fps,
            )
        ]
