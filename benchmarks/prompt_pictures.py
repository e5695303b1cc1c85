"""A loose follow-up against the exact caption: does the picture do what was asked, and nothing else?

`python benchmarks/prompt_pictures.py --json`. Each session shows a held-out scene of the tiny world for 3 s; then a
viewer asks for one change in loose words ("let it snow"). The prompt that the agent makes of it, and the exact caption
of the new scene, are given to two videos that are the same up to there; both are read from pixels 4 s later. `ratio`:
how often the expansion shows what it should, of how often the caption does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from longlive.model import Model
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from longlive.tiny.captions import full_caption
from longlive.tiny.evaluation import AFTER_SECONDS, SWITCH_SECONDS
from longlive.tiny.readouts import MIN_FRAMES, matches
from longlive.tiny.world import ATTRIBUTES, FPS, Scene, draw_scene
from prompt_agent.agent import PromptAgent
from prompt_agent.captions.form import CaptionForm
from prompt_agent.profile import CaptionProfile, load_profile
from report import emit, report, say

JUDGED_FRAMES = max(MIN_FRAMES, 16)
REQUESTS = Path(__file__).with_suffix(".toml")

Expand = Callable[[str, str], str]  # scene and request to prompt


@dataclass(frozen=True, slots=True)
class Task:
    """One session: words for the scene, for the change, and for the scene that it leads to."""

    caption: str
    request: str
    after: Scene
    asked: str  # the attribute that changes
    exact: str

    @staticmethod
    def of(seed: int) -> Task:
        rng = random.Random(seed)
        before, after = _held_out_change(rng)
        (asked,) = before.changed(after)
        request = rng.choice(requests(asked, getattr(before, asked), getattr(after, asked)))
        return Task(full_caption(rng, before), request, after, asked, full_caption(rng, after))


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether a video shows the value that was asked for, and the share of the other attributes that are as before."""

    asked: bool
    others: float

    @property
    def both(self) -> bool:
        return self.asked and self.others == 1


def _held_out_change(rng: random.Random) -> tuple[Scene, Scene]:
    """Two scenes that training never saw, one attribute apart; some held-out scenes have no such neighbour."""
    while True:
        before = draw_scene(rng, held_out=True)
        name = rng.choice(list(ATTRIBUTES))
        changed = [Scene(**{**before.values(), name: value}) for value in ATTRIBUTES[name]]
        if others := [scene for scene in changed if scene != before and scene.held_out()]:
            return before, rng.choice(others)


def requests(name: str, before: str, after: str) -> list[str]:
    """What a viewer may type to change an attribute from a value to another."""
    wordings = _requests()[name]
    return [*wordings[after], *wordings.get(f"{before} {after}", [])]


@cache
def _requests() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(REQUESTS.read_text(encoding="utf-8"))


def judge(model: Model, expand: Expand, seeds: range, progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Shares of what was asked, of what was to be kept, and of both in one video; one session for each seed."""
    expanded: list[Shown] = []
    exact: list[Shown] = []
    differing: list[dict[str, Any]] = []
    for seed in seeds:
        task = Task.of(seed)
        prompt = expand(task.caption, task.request)
        expanded.append(shown(model, seed, task, prompt))
        exact.append(shown(model, seed, task, task.exact))
        if expanded[-1] != exact[-1]:
            differing.append(
                {"seed": seed, "scene": task.caption, "request": task.request, "prompt": prompt, "exact": task.exact}
                | {"expanded_both": expanded[-1].both, "exact_both": exact[-1].both}
            )
        progress()
    shares = {"expanded": _shares(expanded), "exact": _shares(exact)}
    ratio = {
        part: round(share / shares["exact"][part], 4) if shares["exact"][part] else None
        for part, share in shares["expanded"].items()
    }
    return {"sessions": len(seeds), **shares, "ratio": ratio, "differing": differing}


def shown(model: Model, seed: int, task: Task, prompt: str) -> Shown:
    """What a video shows 4 s after its switch to a prompt."""
    stream = VideoStream(model, model.encode([task.caption]), seed)
    while stream.frame < SWITCH_SECONDS * FPS:
        stream.next_frames()
    stream.switch(model.encode([prompt]), "recache")
    end = round(max(AFTER_SECONDS) * FPS)
    parts = [stream.next_frames()]
    while sum(map(len, parts)) < end:
        parts.append(stream.next_frames())
    seen = matches(torch.cat(parts)[end - JUDGED_FRAMES : end].permute(0, 3, 1, 2), task.after)
    asked = seen.pop(task.asked)
    return Shown(asked, sum(seen.values()) / len(seen))


def _shares(videos: Sequence[Shown]) -> dict[str, float]:
    return {
        "asked": round(sum(video.asked for video in videos) / len(videos), 4),
        "others": round(sum(video.others for video in videos) / len(videos), 4),
        "both": round(sum(video.both for video in videos) / len(videos), 4),
    }


def by_rules() -> Expand:
    """The agent of the tiny world, without a language model."""
    profile = load_profile("tiny")
    assert isinstance(profile, CaptionProfile)
    agent = PromptAgent(CaptionForm(profile))
    return lambda scene, request: asyncio.run(agent.expand(scene, request)).prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model of the tiny world")
    parser.add_argument("--sessions", type=int, default=64, help="held-out scenes, one seed each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = iter(range(1, arguments.sessions + 1))
    results = judge(
        load_model(arguments.model),
        by_rules(),
        range(arguments.sessions),
        lambda: say(f"session {next(done)} of {arguments.sessions}"),
    )
    emit(
        report("prompt_pictures", {"dit": True, "decode": True, "encode": False, "http": False}, results),
        arguments.json,
    )


if __name__ == "__main__":
    main()
