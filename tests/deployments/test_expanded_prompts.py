"""What the API makes of loose prompts: changes one by one, previews that change nothing, suggestions, refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from api_parts import Parts, steering
from prompt_handles import HandleDouble

from deployments import prompt_calls
from deployments.api import steer
from deployments.api.preview import MOST_AT_ONCE
from deployments.entries import PromptApplied, PromptExpanded, PromptRequested
from deployments.prompt_calls import PromptCalls
from deployments.store import NoSuchSession

SESSIONS = "/v1/sessions"
PREVIEW = "/v1/prompts/preview"


@pytest.fixture
async def ours(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post(SESSIONS, json={"prompt": "a ball"})


async def ask(http: httpx.AsyncClient, ours: httpx.Response, text: str, **fields: Any) -> httpx.Response:
    path = f"{ours.headers['location']}/prompts"
    return await http.post(path, json={"text": text, **fields}, headers=steering(ours))


async def requested(parts: Parts, sid: str) -> list[tuple[str, bool]]:
    entries = await parts.store.timeline.read(sid)
    return [(entry.text, entry.expand) for entry in entries if isinstance(entry, PromptRequested)]


@pytest.mark.parametrize(
    ("text", "expand", "written"),
    [
        ("make it rain", "auto", ("make it rain", True)),
        ("a blue cube", "auto", ("a blue cube", False)),
        ("a blue cube", True, ("a blue cube", True)),
        ("make it rain", False, ("make it rain", False)),
        ("cut to the sea", True, ("cut to the sea", True)),
    ],
)
async def test_a_text_is_expanded_where_it_is_a_change(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response, text: str, expand: object, written: tuple[str, bool]
) -> None:
    answer = await ask(http, ours, text, expand=expand)
    assert (answer.status_code, answer.json()["expand"], answer.json()["then"]) == (202, written[1], [])
    assert await requested(parts, ours.json()["id"]) == [written]


async def test_several_changes_are_several_prompts_and_the_receipt_says_so(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response
) -> None:
    answer = (await ask(http, ours, "make it rain and add a dog, then he jumps")).json()
    assert answer["text"] == "make it rain"
    assert "3 changes" in answer["warnings"][0]
    listed = (await http.get(f"{ours.headers['location']}/prompts")).json()["data"]
    assert [each["text"] for each in listed] == ["make it rain", "add a dog", "he jumps"]
    assert [each["prompt_id"] for each in listed] == [answer["prompt_id"], *answer["then"]]
    assert [each["warnings"] for each in listed[1:]] == [[], []]


async def test_the_first_of_several_changes_cuts_and_the_others_go_on_from_there(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response
) -> None:
    await ask(http, ours, "make it rain and add a dog", mode="cut")
    await ask(http, ours, "make it snow and add a cat", mode="blend", blend_seconds=1.5)
    entries = await parts.store.timeline.read(ours.json()["id"])
    asked = [entry for entry in entries if isinstance(entry, PromptRequested)]
    assert [entry.mode for entry in asked] == ["cut", "recache", "blend", "blend"]
    assert [entry.blend_seconds for entry in asked] == [None, None, 1.5, 1.5]


async def test_changes_that_are_left_out_are_named(http: httpx.AsyncClient, ours: httpx.Response) -> None:
    text = "make it rain" + "".join(f", add a {number}th dog" for number in range(2, 11))
    answer = (await ask(http, ours, text)).json()
    assert len(answer["then"]) == 7
    assert "at most 8 changes: from 'add a 9th dog' on the rest, 2, is left out" in answer["warnings"][1]


async def test_several_prompts_are_written_together_or_not_at_all(parts: Parts, ours: httpx.Response) -> None:
    sid, timeline = ours.json()["id"], parts.store.timeline
    prompts = [PromptRequested(prompt_id=name, text=name) for name in ("p", "q")]
    ids = await timeline.append_commands(sid, prompts)
    assert [entry.id for entry in await timeline.read(sid) if isinstance(entry, PromptRequested)] == ids
    assert (await timeline.session(sid)).waiting_prompts == 2
    with pytest.raises(NoSuchSession):
        await timeline.append_commands("nobody", prompts)


async def test_so_many_changes_that_too_many_would_wait_are_refused(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steer, "MAX_WAITING_PROMPTS", 1)
    answer = await ask(http, ours, "make it rain and add a dog")
    assert (answer.status_code, answer.json()["code"]) == (409, "too-many-prompts")
    assert await requested(parts, ours.json()["id"]) == []


async def test_scripts_may_have_changes_too(http: httpx.AsyncClient, parts: Parts) -> None:
    script = [{"text": "make it rain, then make it night", "at": {"seconds": 5}}]
    created = await http.post(SESSIONS, json={"prompt": "a ball", "script": script})
    assert await requested(parts, created.json()["id"]) == [("make it rain", True), ("make it night", True)]


async def test_without_the_prompt_agent_few_words_wait_for_it_and_many_are_a_prompt(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response
) -> None:
    parts.prompts.down = True
    for expand in ("auto", True, False):
        assert (await ask(http, ours, "make it rain", expand=expand)).status_code == 202
    assert (await ask(http, ours, "a red ball hops in a meadow by day in clear weather")).status_code == 202
    assert (await ask(http, ours, "make it rain and add a dog")).json()["then"] != []
    expanded = [expand for _, expand in await requested(parts, ours.json()["id"])]
    assert expanded == [True, True, False, False, True, True]
    answer = await http.post(PREVIEW, json={"text": "make it rain", "scene": "a ball"})
    assert (answer.status_code, answer.json()["code"]) == (503, "part-down")


@pytest.mark.parametrize("expand", ["yes", 1, None, "AUTO"])
async def test_another_expand_is_refused(http: httpx.AsyncClient, ours: httpx.Response, expand: object) -> None:
    assert (await ask(http, ours, "make it rain", expand=expand)).status_code == 422


async def test_receipts_tell_what_was_made_of_a_prompt(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response
) -> None:
    sid, asked = ours.json()["id"], (await ask(http, ours, "make it rain")).json()["prompt_id"]
    made = {"prompt": "a wet ball", "added": "rain", "source": "llm"}
    await parts.state(sid, PromptExpanded(prompt_id=asked, ms=42, warnings=("Slow.",), **made))
    path = f"{ours.headers['location']}/prompts/{asked}"
    receipt = (await http.get(path)).json()
    assert (receipt["status"], receipt["text"], receipt["expansion_ms"]) == ("expanded", "make it rain", 42)
    assert {name: receipt[name] for name in made} == made
    assert receipt["warnings"] == ["Slow."]
    where = {"chunk": 1, "frame": 9, "media_seconds": 0.5}
    await parts.make(sid, 1)
    await parts.state(sid, PromptApplied(prompt_id=asked, text="a wet ball", latency_ms=1, **where))
    assert (await http.get(path)).json()["status"] == "applied"
    assert (await http.get(f"/v1/sessions/{sid}")).json()["prompt"] == "a wet ball"


async def test_a_preview_changes_nothing(http: httpx.AsyncClient, parts: Parts, ours: httpx.Response) -> None:
    sid = ours.json()["id"]
    answer = (await http.post(PREVIEW, json={"text": "make it rain", "session": sid})).json()
    assert (answer["prompt"], answer["added"], answer["source"]) == ("a ball, make it rain", "make it rain", "rules")
    assert (answer["mode"], answer["ms"]) == ("recache", 3)
    assert await requested(parts, sid) == []
    scene = (await http.post(PREVIEW, json={"text": "cut to the sea", "scene": "a dog"})).json()
    assert (scene["prompt"], scene["mode"]) == ("a dog, cut to the sea", "cut")


async def test_a_preview_knows_what_was_changed_before(
    http: httpx.AsyncClient, parts: Parts, ours: httpx.Response
) -> None:
    sid, asked = ours.json()["id"], (await ask(http, ours, "make it rain")).json()["prompt_id"]
    applied = {"text": "a wet ball", "latency_ms": 1, "chunk": 1, "frame": 9, "media_seconds": 0.5}
    await parts.make(sid, 1)
    await parts.state(sid, PromptApplied(prompt_id=asked, changes=("rain",), **applied))
    answer = (await http.post(PREVIEW, json={"text": "make it night", "session": sid})).json()
    assert (answer["prompt"], answer["warnings"]) == ("a wet ball, make it night", ["rain"])


async def test_a_preview_says_that_it_knows_nothing_of_prompts_that_wait(
    http: httpx.AsyncClient, ours: httpx.Response
) -> None:
    body = {"text": "make it night", "session": ours.json()["id"]}
    assert (await http.post(PREVIEW, json=body)).json()["warnings"] == []
    await ask(http, ours, "make it rain")
    [warning] = (await http.post(PREVIEW, json=body)).json()["warnings"]
    assert "still wait" in warning


async def test_a_preview_streams_its_words(http: httpx.AsyncClient) -> None:
    body = {"text": "make it rain", "scene": "a ball"}
    answer = await http.post(PREVIEW, json=body, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    names = [block[0].removeprefix("event: ") for block in events]
    data = [json.loads(block[1].removeprefix("data: ")) for block in events]
    assert names == ["words"] * (len(names) - 1) + ["expansion"]
    assert len(names) > 3
    assert all(data[-1]["prompt"].startswith(each["prompt"]) for each in data)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_previews_leave_the_language_model_room_for_prompts(
    http: httpx.AsyncClient, parts: Parts, accept: str
) -> None:
    def ask_for_one() -> asyncio.Task[httpx.Response]:
        body = {"text": "make it rain", "scene": "a ball"}
        return asyncio.create_task(http.post(PREVIEW, json=body, headers={"Accept": accept}))

    parts.prompts.writes.clear()
    asked = [ask_for_one() for _ in range(MOST_AT_ONCE + 1)]
    refused = await next(asyncio.as_completed(asked))
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-previews")
    assert refused.headers["retry-after"] == "1"
    parts.prompts.writes.set()
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers].count(200) == MOST_AT_ONCE
    assert (await ask_for_one()).status_code == 200, "there is room again"


@pytest.mark.parametrize("then", ["hangs", "dies"])
async def test_a_preview_whose_writer_hangs_or_dies_amid_its_words_ends_with_a_problem(
    http: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr(prompt_calls, "SLACK_SECONDS", 0.05)
    calls = PromptCalls(HandleDouble(then), deadline=0.05)  # type: ignore[arg-type]
    monkeypatch.setattr(parts.prompts, "write", calls.write)
    body = {"text": "make it rain", "scene": "a ball"}
    answer = await http.post(PREVIEW, json=body, headers={"Accept": "text/event-stream"})
    assert [line for line in answer.text.split("\n") if line.startswith("event:")] == ["event: words", "event: problem"]
    assert "part-down" in answer.text


async def test_a_preview_that_is_refused_says_why(http: httpx.AsyncClient) -> None:
    body = {"text": "an evil cat", "scene": "a ball"}
    answer = await http.post(PREVIEW, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "prompt-unwanted")
    assert answer.json()["detail"].startswith("It is evil. ")
    events = {"Accept": "text/event-stream"}
    assert (await http.post(PREVIEW, json=body, headers=events)).status_code == 422
    streamed = await http.post(PREVIEW, json={"text": "a cat, then evil", "scene": "a ball"}, headers=events)
    assert [line for line in streamed.text.split("\n") if line.startswith("event:")] == [
        "event: words",
        "event: problem",
    ]
    assert "prompt-unwanted" in streamed.text


@pytest.mark.parametrize(
    "body", [{"text": "x"}, {"text": "x", "scene": "y", "session": "z"}, {"scene": "y"}, {"text": " ", "scene": "y"}]
)
async def test_a_preview_of_nothing_or_of_two_scenes_is_refused(http: httpx.AsyncClient, body: object) -> None:
    assert (await http.post(PREVIEW, json=body)).status_code == 422


async def test_there_is_no_preview_or_suggestion_for_a_session_that_is_not_there(http: httpx.AsyncClient) -> None:
    answers = [
        await http.post(PREVIEW, json={"text": "make it rain", "session": "none"}),
        await http.get(f"{SESSIONS}/none/suggestions"),
    ]
    assert [answer.json()["code"] for answer in answers] == ["no-such-session"] * 2


async def test_suggestions_follow_from_what_the_video_shows(http: httpx.AsyncClient, ours: httpx.Response) -> None:
    path = f"{ours.headers['location']}/suggestions"
    assert (await http.get(path)).json()["data"] == [f"a ball {number}" for number in range(4)]
    assert len((await http.get(path, params={"count": 2})).json()["data"]) == 2
    assert (await http.get(path, params={"count": 0})).status_code == 422


async def test_a_video_does_not_begin_with_what_is_refused(http: httpx.AsyncClient, parts: Parts) -> None:
    answer = await http.post(SESSIONS, json={"prompt": "behead the knight"})
    assert (answer.status_code, answer.json()["code"]) == (422, "prompt-unwanted")
    assert parts.asked == []
    assert (await http.post(SESSIONS, json={"prompt": "a bloody sunset"})).json()["prompt"] == "a red sunset"
