"""A recorded video of the running service is rewound and forked, and made once more: the same file, byte for byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service_client import PROMPT, Client

from deployments.client import AsyncSessionHandle


async def test_a_video_that_was_rewound_is_rendered_to_the_same_bytes_and_its_fork_begins_where_it_says(
    client: Client, tmp_path: Path
) -> None:
    script = [{"text": "a blue cube at night", "at": {"seconds": 1.5}}]
    async with client.session(record=True, script=script, seed=7) as created:
        sid = created["id"]
        live = client.handle(sid)
        watching = asyncio.create_task(client.watch(sid, 1000))
        try:
            await client.until(sid, lambda session: session["chunks"] >= 4)
            await live.rewind(1.0)
            rewound = await client.entry(sid, "session.rewound")
            await client.until(sid, lambda session: session["chunks"] > rewound["chunk"])
            fork = await live.fork(1.0, seed=8, prompt="it snows", queue=True)
        finally:
            watching.cancel()
    assert (rewound["restored_chunk"], rewound["prompt"]) == (1, PROMPT)
    client.tokens[fork.id] = fork.control_token or ""
    try:
        view = await fork.wait("starting", "live", timeout=30)
        watched = await client.watch(fork.id, 2)
        applied = await client.entry(fork.id, "prompt.applied")
    finally:
        await client.end(fork.id)
    assert view.parent is not None
    assert (view.parent.session, view.parent.frame, view.seed) == (sid, 9, 8)
    assert (watched.numbers, watched.first_frames) == ([1, 2], [9, 21])
    assert watched.decode()[1] == list(range(9, 33))
    assert (applied["text"], applied["frame"]) == ("a red ball in the meadow in the snow", 9), "what it was, and snow"
    render = await live.render(queue=True)
    made = await render.wait("ended", timeout=60)
    assert made.frames == (await live.state()).frames
    assert (await exported(render, tmp_path / "render.mp4")) == (await exported(live, tmp_path / "live.mp4"))


async def exported(session: AsyncSessionHandle, file: Path) -> bytes:
    export = await session.export("mp4")
    await session.download(export.id, file)
    return await asyncio.to_thread(file.read_bytes)
