"""A few words, steered with at the real service: written out by rules, seen in the picture, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import torch
from service_client import Client
from service_process import ServiceProcess

from longlive.tiny.readouts import read

SCENE = "a red ball hops in the meadow by day in clear weather"
SETTLED, JUDGED = 3, 3  # chunks after a switch in which the picture goes over, and then those that are looked at


async def shown(client: Client, sid: str) -> dict[str, str | None]:
    """What the picture shows in a few chunks from now."""
    video, _ = (await client.watch(sid, SETTLED + JUDGED)).decode()
    return read(torch.from_numpy(video[-12 * JUDGED :]).permute(0, 3, 1, 2))


async def applied(client: Client, sid: str, text: str, **fields: Any) -> dict[str, Any]:
    """The receipt of a prompt, once the video follows it; somebody must be watching."""
    asked = await client.post(f"/v1/sessions/{sid}/prompts", json={"text": text, **fields})
    assert asked.status_code == 202, asked.text
    return (await client.handle(sid).wait_applied(asked.json()["prompt_id"])).model_dump()


async def test_a_few_words_change_what_they_say_and_nothing_else(client: Client) -> None:
    async with client.session(SCENE, seed=5) as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 10_000))
        receipt = await applied(client, sid, "let it snow")
        assert (receipt["source"], receipt["added"], receipt["text"]) == ("rules", "snow", "let it snow")
        assert receipt["prompt"] == "a red ball hops in the meadow by day in the snow"
        seen = await shown(client, sid)
        told = (await client.get(f"/v1/sessions/{sid}")).json()["prompt"]
        watching.cancel()
    assert (seen["weather"], seen["colour"], seen["place"], seen["time"]) == ("snow", "red", "meadow", "day")
    assert told == receipt["prompt"]


async def test_several_changes_come_one_by_one_and_build_on_each_other(client: Client) -> None:
    async with client.session(SCENE) as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 10_000))
        body = {"text": "make it night, then paint it blue and take it to the city"}
        asked = (await client.post(f"/v1/sessions/{sid}/prompts", json=body)).json()
        assert len(asked["then"]) == 2
        receipts = [await client.handle(sid).wait_applied(each) for each in (asked["prompt_id"], *asked["then"])]
        watching.cancel()
    assert receipts[-1].prompt == "a blue ball hops in the city at night in clear weather"
    chunks = [receipt.chunk or 0 for receipt in receipts]
    assert chunks == sorted(set(chunks))


async def test_a_preview_streams_through_the_proxy_and_suggestions_fit(client: Client) -> None:
    async with client.session(SCENE) as created:
        sid = created["id"]
        body = {"session": sid, "text": "turn it into a donut"}
        async with client.stream(
            "POST", "/v1/prompts/preview", json=body, headers={"Accept": "text/event-stream"}
        ) as answer:
            text = (await answer.aread()).decode()
        refused = await client.post("/v1/prompts/preview", json={"scene": SCENE, "text": "behead it"})
        suggested = (await client.get(f"/v1/sessions/{sid}/suggestions")).json()["data"]
    assert json.loads(text.rpartition("data: ")[2])["prompt"] == SCENE.replace("ball", "donut")
    assert (refused.status_code, refused.json()["code"]) == (422, "prompt-unwanted")
    assert refused.json()["detail"].startswith("Extreme violence is refused. Say it otherwise")
    assert len(suggested) == 4


async def test_what_is_refused_has_a_receipt_and_the_video_goes_on(client: Client) -> None:
    async with client.session(SCENE) as created:
        sid = created["id"]
        for expand in (True, False):
            body = {"text": "behead the ball", "expand": expand}
            asked = (await client.post(f"/v1/sessions/{sid}/prompts", json=body)).json()
            refused = await client.entry(sid, "prompt.refused", prompt_id=asked["prompt_id"])
            assert refused["reason"] == "Extreme violence is refused."
        await client.watch(sid, 3)


async def test_when_the_prompt_agent_dies_prompts_are_answered_and_it_comes_back(
    client: Client, service: ServiceProcess
) -> None:
    async with client.session(SCENE) as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 10_000))
        service.kill("ServeReplica:longlive:PromptExpander")
        receipt = await applied(client, sid, "let it snow", expand=True)
        again = await applied(client, sid, "make it night")
        watching.cancel()
    assert [each["source"] for each in (receipt, again)] == ["rules", "rules"], "the picture goes on, and words wait"
    assert again["prompt"] == "a red ball hops in the meadow at night in the snow"
