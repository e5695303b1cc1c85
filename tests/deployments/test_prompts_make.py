"""`longlive prompts make`: scenes in, a file of prompts out; stopped, gone on with, and refused in one line."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

import pytest

from deployments.sequence_file import SequenceFile
from deployments.tiny_prompts import part_of_the_world
from longlive.prompt_files import read_prompt_file
from prompt_agent.profile import CaptionProfile, load_profile
from prompt_agent.sequences import PromptSequence
from tests.prompt_agent.simulated_chat_server import Behaviour, simulated_chat_server
from tests.test_cli import run

RED = "a red ball hops in the meadow by day in clear weather"
SNOW = "a red ball hops in the meadow by day in the snow"
Make = Callable[..., tuple[int, str, str]]
MakeWith = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def make(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    """`longlive prompts make ARGUMENTS` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run(capsys, "prompts", "make", *arguments)


def prompts(out: str) -> list[tuple[str, ...]]:
    return [line.prompts for line in read_prompt_file(Path(out)).lines]


@pytest.mark.parametrize("held_out", [False, True])
def test_sequences_stay_in_the_part_of_the_tiny_world_that_was_asked_for(make: Make, held_out: bool) -> None:
    option = ["--held-out"] if held_out else []
    code, said, _ = make("out.jsonl", "--tiny-scenes", 12, "--prompts", 3, *option)
    profile = load_profile("tiny")
    assert isinstance(profile, CaptionProfile)
    written = [prompt for line in prompts("out.jsonl") for prompt in line]
    assert code == 0
    assert "by rules" in said
    assert len(written) >= 12
    assert all(map(part_of_the_world(profile, held_out), written))
    assert not any(map(part_of_the_world(profile, not held_out), written))


def test_the_same_seed_gives_the_same_file_and_another_one_another(make: Make) -> None:
    for out, *options in (("a.jsonl",), ("b.jsonl", "--most-at-once", 1), ("c.jsonl", "--seed", 1)):
        assert make(out, "--tiny-scenes", 6, *options)[0] == 0
    assert prompts("a.jsonl") == prompts("b.jsonl") != prompts("c.jsonl")


def test_lines_come_in_the_order_of_the_scenes_and_what_is_left_out_is_told(make: Make) -> None:
    Path("scenes.txt").write_text("A dog runs on a beach.\n\nA porn scene.\nA café at night.\n")
    code, said, errors = make("out.jsonl", "--scenes", "scenes.txt", "--json")
    told = json.loads(said)
    assert code == 0
    assert [line[0] for line in prompts("out.jsonl")] == ["A dog runs on a beach.", "A café at night."]
    assert all(80 <= len(line[1].split()) <= 100 for line in prompts("out.jsonl"))
    assert "scene 2 is left out: refused" in errors
    assert (told["scenes"], told["lines"], told["left_out"]) == (3, 2, {"refused": 1})
    assert (told["prompts"], told["profile"], told["llm"]) == ({"rules": 2}, "full", None)
    assert {"commit", "hardware", "versions"} <= told.keys()


@pytest.fixture
def stopped(make: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """As `make`, by a person who presses Ctrl-C when some lines are written."""
    add = SequenceFile.add

    def stop(lines: int, *arguments: object) -> tuple[int, str, str]:
        def or_stopped(self: SequenceFile, sequence: PromptSequence) -> None:
            if len(self.done) == lines:
                raise KeyboardInterrupt
            add(self, sequence)

        with monkeypatch.context() as patch:
            patch.setattr(SequenceFile, "add", or_stopped)
            return make(*arguments)

    return stop


def test_a_stopped_run_goes_on_and_gives_the_file_of_one_that_was_not(make: Make, stopped: Make) -> None:
    asked = ("--tiny-scenes", 8, "--prompts", 3, "--seed", 5)
    assert make("whole.jsonl", *asked)[0] == 0
    code, _, errors = stopped(3, "out.jsonl", *asked)
    assert code == 130
    assert "3 of 8 scenes are in out.jsonl.part; go on with --resume" in errors
    part = Path("out.jsonl.part")
    before = part.read_bytes()
    part.write_bytes(before + before[:50])  # as a process leaves it that is killed while it writes
    assert "--resume" in make("out.jsonl", *asked)[2]
    code, said, _ = make("out.jsonl", *asked, "--resume", "--most-at-once", 2, "--json")
    assert code == 0
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert json.loads(said)["lines"] == 8
    assert sorted(path.name for path in Path().iterdir()) == ["out.jsonl", "whole.jsonl"]


@pytest.mark.parametrize(
    "other",
    [("--seed", 1), ("--prompts", 3), ("--held-out",), ("--requests", "requests.txt"), ("--profile", "other.toml")],
    ids=lambda other: other[0],
)
def test_a_run_does_not_go_on_with_what_was_made_from_something_else(
    make: Make, stopped: Make, other: tuple[object, ...]
) -> None:
    Path("requests.txt").write_text("let it snow\n")
    shipped = resources.files("prompt_agent") / "profiles" / "tiny.toml"
    Path("other.toml").write_text(shipped.read_text(encoding="utf-8").replace("max_words = 24", "max_words = 23"))
    assert stopped(1, "out.jsonl", "--tiny-scenes", 2)[0] == 130
    before = Path("out.jsonl.part").read_bytes()
    code, said, errors = make("out.jsonl", "--tiny-scenes", 2, *other, "--resume")
    assert (code, said, errors.count("\n")) == (2, "", 1)
    assert "was begun with other scenes, requests or options" in errors
    assert Path("out.jsonl.part").read_bytes() == before


def test_a_damaged_part_is_told_of(make: Make, stopped: Make) -> None:
    assert stopped(2, "out.jsonl", "--tiny-scenes", 3)[0] == 130
    part = Path("out.jsonl.part")
    part.write_bytes(part.read_bytes()[5:])
    code, said, errors = make("out.jsonl", "--tiny-scenes", 3, "--resume")
    assert (code, said, errors) == (2, "", "longlive: out.jsonl.part is damaged; remove it to start anew\n")


@pytest.fixture
def make_with(make: Make) -> MakeWith:
    """As `make`, of one scene and one request, with a language model of the behaviour."""
    Path("scenes.txt").write_text(RED + "\n")
    Path("requests.txt").write_text("let it snow\n")
    given = ("--scenes", "scenes.txt", "--requests", "requests.txt", "--profile", "tiny", "--llm-model", "m")

    async def make_it(behaviour: Behaviour, *arguments: object) -> tuple[int, str, str]:
        async with simulated_chat_server() as server:
            server.behaviour = behaviour
            return await asyncio.to_thread(make, "out.jsonl", *given, "--llm-url", server.url, *arguments)

    return make_it


async def test_a_language_model_writes_where_one_is_named(make_with: MakeWith) -> None:
    code, said, _ = await make_with(Behaviour(json.dumps({"added": "snow", "prompt": SNOW})), "--json")
    told = json.loads(said)
    assert code == 0
    assert prompts("out.jsonl") == [(RED, SNOW)]
    assert (told["prompts"], told["llm"], told["warnings"]) == ({"llm": 1}, "m", {})


async def test_rules_write_where_its_answers_cannot_be_used_and_that_is_counted(make_with: MakeWith) -> None:
    code, said, _ = await make_with(Behaviour(json.dumps({"added": "dog", "prompt": "a wet dog"})))
    assert code == 0
    assert prompts("out.jsonl") == [(RED, SNOW)]
    assert "prompts by rules 1" in said
    assert "1 x What the language model wrote cannot be used" in said


async def test_a_language_model_that_cannot_be_asked_is_told_of_before_anything_is_written(
    make_with: MakeWith, tmp_path: Path
) -> None:
    code, said, errors = await make_with(Behaviour(status=401))
    assert (code, said, errors.count("\n")) == (2, "", 1)
    assert "does not take the key" in errors
    assert {"out.jsonl", "out.jsonl.part"}.isdisjoint(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("out.jsonl",), "Give either --scenes or --tiny-scenes"),
        (("out.jsonl", "--scenes", "scenes.txt", "--tiny-scenes", 2), "Give either --scenes or --tiny-scenes"),
        (("out.jsonl", "--scenes", "scenes.txt", "--held-out"), "leave it out"),
        (("out.jsonl", "--scenes", "nowhere.txt"), "nowhere.txt"),
        (("out.jsonl", "--scenes", "pairs.jsonl"), "give a .txt file with a scene on each"),
        (("out.jsonl", "--scenes", "empty.txt"), "the file is empty"),
        (("out.jsonl", "--tiny-scenes", 2, "--profile", "full"), "use tiny"),
        (("out.jsonl", "--tiny-scenes", 2, "--profile", "grand"), "use one of full, tiny"),
        (("out.jsonl", "--tiny-scenes", 2, "--llm-url", "http://127.0.0.1:9/v1"), "set both, or neither"),
        (("out.jsonl", "--tiny-scenes", 2, "--resume"), "leave --resume out"),
        (("out.jsonl", "--tiny-scenes", 2, "--prompts", 1), "--prompts"),
        (("out.txt", "--tiny-scenes", 2), "give the name of a .jsonl file"),
        (("nowhere/out.jsonl", "--tiny-scenes", 2), "in a folder that there is"),
        (("pairs.jsonl", "--tiny-scenes", 2), "name another file"),
        (("out.jsonl", "--tiny-scenes", 2, "--requests", "songs.txt"), "no scene gave a line"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_made_is_told_in_a_line_and_leaves_nothing(
    make: Make, arguments: tuple[object, ...], says: str
) -> None:
    Path("scenes.txt").write_text("A dog runs on a beach.\n")
    Path("pairs.jsonl").write_text('{"prompts": ["a dog", "a cat"]}\n')
    Path("empty.txt").write_text("\n")
    Path("songs.txt").write_text("sing a song\n")
    before = sorted(Path().iterdir())
    code, said, errors = make(*arguments)
    assert (code, said) == (2, "")
    assert says in errors.splitlines()[-1]
    assert sorted(Path().iterdir()) == before
