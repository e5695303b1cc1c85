"""A render shows what its original showed, to the bit: its prompts, pauses, rewinds and generators that died."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generator_rig import MemoryHistory, TinyRig, tiny_rig
from redis.exceptions import ConnectionError
from redis_store import Store

from deployments.api.copies import render_of
from deployments.api.models import RenderSession
from deployments.entries import (
    AnyEntry,
    BeginStep,
    Chunk,
    EndRequested,
    Fact,
    Mode,
    Parent,
    PauseRequested,
    PromptApplied,
    PromptRequested,
    PromptStep,
    RestoreStep,
    RewindRequested,
    SessionCreated,
    SessionMoved,
    SessionPaused,
    SessionRewound,
)
from deployments.placement import TakeOver
from deployments.redis_server import RedisServer
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.steps import prompt_before, steps_before, steps_of
from deployments.store import connect
from deployments.timeline import Timeline
from longlive.model import Model
from longlive.pipeline import load_model
from longlive.stream import VideoStream

FIELD, RAIN, NIGHT = "a red ball rolls across a field", "a blue ball hops in the rain", "a green ball rolls by night"


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("tiny", torch.float32, "cpu")


def two_rigs(store: Store, folder: Path, model: Model) -> tuple[TinyRig, TinyRig]:
    """They share what is kept, so that one can go on with what the other one made."""
    history = MemoryHistory()
    return (
        tiny_rig(store, folder, model, name="r", history=history),
        tiny_rig(store, folder, model, name="q", history=history),
    )


async def until_seen(rig: TinyRig, sid: str, chunk: int) -> None:
    """Watch until a chunk is out."""
    async for fragments in rig.generator.watch(sid):
        if fragments[-1].chunk >= chunk:
            return


async def render(store: Store, folder: Path, model: Model, sid: str) -> tuple[Session, dict[int, torch.Tensor]]:
    """A render of a session, made by another generator; and its frames by chunk."""
    session, entries = await store.timeline.session(sid), await store.timeline.read(sid, limit=1000)
    created, script = render_of(session, steps_of(entries), RenderSession())
    await store.timeline.create(f"render-of-{sid}", created, script)
    rig = tiny_rig(store, folder, model, name="renderer")
    async with rig.running():
        await rig.generator.take(f"render-of-{sid}")
        made = await rig.over(f"render-of-{sid}")
    return made, rig.made


def same(frames: dict[int, torch.Tensor], others: dict[int, torch.Tensor]) -> list[int]:
    """Chunks that are not the same."""
    return [chunk for chunk in sorted(frames | others) if not torch.equal(frames[chunk], others[chunk])]


async def test_a_render_of_a_video_that_was_switched_paused_rewound_and_taken_over(
    store: Store, tmp_path: Path, model: Model
) -> None:
    first, second = two_rigs(store, tmp_path, model)
    script = (
        PromptRequested(prompt_id="1", text=RAIN, at_frame=chunk_first_frame(2)),
        PromptRequested(prompt_id="2", text=NIGHT, at_frame=chunk_first_frame(4), mode="blend", blend_seconds=0.2),
    )
    async with first.running():
        await first.begin("s", *script, prompt=FIELD)
        await until_seen(first, "s", 2)
        await first.ask("s", PauseRequested())
        await first.next_of(SessionPaused, "s")
        await first.generator.take("s")
        await until_seen(first, "s", 5)
        await first.ask("s", RewindRequested(to_frame=chunk_first_frame(2) - 1))
        rewound = await first.next_of(SessionRewound, "s")
        assert (rewound.restored_chunk, rewound.prompt) == (1, FIELD)
        await until_seen(first, "s", rewound.chunk + 1)
    async with second.running():
        await second.generator.take("s", TakeOver("r", "lost"))
        taken = (await second.next_of(SessionMoved, "s")).chunk
        await until_seen(second, "s", taken)
        await second.ask("s", RewindRequested(to_frame=0))
        anew = await second.next_of(SessionRewound, "s", 2)
        await until_seen(second, "s", anew.chunk)
        await second.ask("s", EndRequested())
        made = await second.over("s")
    assert len(steps_of(await first.facts("s"))) == 7
    seen = {chunk: (first if chunk < taken else second).made[chunk] for chunk in range(made.chunks)}
    again, frames = await render(store, tmp_path, model, "s")
    assert (again.status, again.reason, again.frames) == (SessionState.ended, "finished", made.frames)
    assert same(seen, frames) == []
    applied = [[(fact.text, fact.chunk) for fact in await first.all_of(PromptApplied, sid)] for sid in ("s", again.id)]
    assert applied[0] == applied[1]
    assert [text for text, _ in applied[0]] == [RAIN, NIGHT]


async def test_a_render_that_is_interrupted_is_the_same_all_the_same(
    store: Store, tmp_path: Path, model: Model
) -> None:
    past = (
        BeginStep(text=FIELD, seed=3),
        PromptStep(chunk=0, text=RAIN),
        RestoreStep(chunk=2, restored_chunk=1, text=RAIN),
    )
    asked = PromptRequested(prompt_id="1", text=RAIN, at_frame=0)
    parent = Parent(session="o", frame=chunk_first_frame(4), relation="render")
    how: dict[str, Any] = {"parent": parent, "past": past, "pace": "offline", "max_seconds": parent.frame / 160}
    whole, interrupted = two_rigs(store, tmp_path, model)
    async with whole.running():
        await whole.begin("w", asked, prompt=FIELD, seed=3, **how)
        await whole.over("w")
    async with interrupted.running():
        await interrupted.create("i", asked, prompt=FIELD, seed=3, **how)
        await store.timeline.append_command("i", PauseRequested())
        await interrupted.generator.take("i")
        paused = await interrupted.next_of(SessionPaused, "i")
        before, interrupted.made = interrupted.made, {}
        await interrupted.generator.take("i")
        over = await interrupted.over("i")
    assert min(interrupted.made) == paused.chunk, "what was out already is made for nobody"
    assert same(whole.made, before | interrupted.made) == []
    assert over.frames == (await store.timeline.session("w")).frames
    assert [entry.chunk for entry in await whole.all_of(PromptApplied, "i")] == [0]


async def test_a_fork_goes_on_as_its_parent_would_have_and_with_another_seed_otherwise(
    store: Store, tmp_path: Path, model: Model
) -> None:
    first, second = two_rigs(store, tmp_path, model)
    async with first.running():
        await first.begin("p", prompt=FIELD, seed=3)
        await until_seen(first, "p", 2)
    kept: dict[str, Any] = first.history.kept
    forks: dict[str, dict[int, torch.Tensor]] = {}
    async with second.running():
        for sid, seed in (("same", 3), ("other", 4)):
            kept[sid] = {2: kept["p"][2]}
            await store.timeline.create(sid, fork_of(await first.facts("p"), 2, seed))
            await second.generator.take(sid)
            await until_seen(second, sid, 3)
            await second.ask(sid, EndRequested())
            assert (await second.over(sid)).chunks >= 4
            forks[sid], second.made = second.made, {}
    assert min(forks["same"]) == min(forks["other"]) == 2
    assert not torch.equal(forks["same"][3], forks["other"][3])
    parent = VideoStream.restore(model, kept["p"][2])
    assert torch.equal(parent.next_frames(), forks["same"][2]), "it goes on as its parent would, restored there"
    for sid, frames in forks.items():
        _, again = await render(store, tmp_path, model, sid)
        assert same(frames, {chunk: again[chunk] for chunk in frames}) == []


def created(**how: Any) -> SessionCreated:
    return SessionCreated(**{"model": "fake", "width": 16, "height": 16, "fps": 160} | how)


def fork_of(entries: list[AnyEntry], chunk: int, seed: int) -> SessionCreated:
    steps = steps_of(entries)
    parent = Parent(session="p", frame=chunk_first_frame(chunk), relation="fork")
    return created(prompt=prompt_before(steps, chunk), seed=seed, parent=parent, past=steps_before(steps, chunk))


class DyingTimeline(Timeline):
    """Takes nothing any more from chunk `at` on: neither that its prompt applied, if `early`, nor that it was made."""

    at, early = 0, False
    dead = False

    async def append_fact(self, sid: str, fence: int, fact: Fact, *args: Any, **how: Any) -> str:
        self.dead |= self.early and isinstance(fact, PromptApplied)
        self._live()
        return await super().append_fact(sid, fence, fact, *args, **how)

    async def append_chunk(self, sid: str, fence: int, chunk: Chunk, *args: Any, **how: Any) -> str:
        self.dead |= chunk.chunk >= self.at
        self._live()
        return await super().append_chunk(sid, fence, chunk, *args, **how)

    def _live(self) -> None:
        if self.dead:
            raise ConnectionError("the owner has died")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("at", "mode", "missing"), [(0, "cut", 0), (3, "blend", 0), (3, "cut", 1), (3, "keep", 9)])
async def test_a_prompt_over_which_its_owner_died_is_followed_once_and_from_the_same_chunk(
    redis_server: RedisServer,
    store: Store,
    tmp_path: Path,
    model: Model,
    at: int,
    mode: Mode,
    missing: int,
    early: bool,
) -> None:
    first, second = two_rigs(store, tmp_path, model)
    asked = PromptRequested(prompt_id="1", text=RAIN, at_frame=chunk_first_frame(at), mode=mode)
    async with connect(redis_server.url, blocking=True) as blocking:
        dying = DyingTimeline(store.redis, blocking)
        dying.at, dying.early = at, early
        first.store = replace(store, timeline=dying)
        async with first.running():
            await first.begin("s", asked, prompt=FIELD)
            await until_seen(first, "s", at)
    assert (await store.timeline.session("s")).chunks == at
    for chunk in range(at + 1, at - missing, -1):
        first.history.kept.get("s", {}).pop(chunk, None)
    if not early:  # else it is the one to apply, for nobody has seen the other
        await store.timeline.append_command("s", PromptRequested(prompt_id="2", text=NIGHT))
    async with second.running():
        await second.generator.take("s", TakeOver("r", "lost"))
        await until_seen(second, "s", at + 3)
        await second.ask("s", EndRequested())
        made = await second.over("s")
    applied = [(fact.prompt_id, fact.chunk) for fact in await second.all_of(PromptApplied, "s")]
    assert applied == [("1", at)] + [("2", at + 1)] * (not early)
    assert made.waiting_prompts == 0
    seen = {chunk: (first if chunk < at else second).made[chunk] for chunk in range(made.chunks)}
    _, frames = await render(store, tmp_path, model, "s")
    assert same(seen, frames) == []
