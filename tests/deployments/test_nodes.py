"""A node is lost with all that runs on it: its videos go on at the other, and who watches has every fragment."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from service_client import PROMPT, Client, decode
from two_nodes import OPERATOR_TOKEN

SCRIPT = Path(__file__).parent / "two_nodes.py"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
START_SECONDS = 280


class TwoNodes:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "log"
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(SCRIPT), str(folder / "data"), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
        )

    async def says(self, word: str) -> None:
        said: IO[str] | None = self._process.stdout
        assert said is not None
        async with asyncio.timeout(START_SECONDS):
            while line := await asyncio.to_thread(said.readline):
                if line.strip() == word:
                    return
        raise AssertionError(self.log.read_text(errors="replace"))

    async def kill_the_second(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        await self.says("killed")

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[TwoNodes]:
    nodes = TwoNodes(tmp_path)
    yield nodes
    nodes.stop()


@pytest.mark.service
@pytest.mark.slow  # two nodes and a service on them take a minute or two to start
async def test_the_videos_of_a_node_that_is_lost_go_on_at_another(nodes: TwoNodes) -> None:
    await nodes.says("ready")
    async with Client(base_url=nodes.url, timeout=60.0) as client:
        listed = (await client.get("/v1/replicas", headers=OPERATOR)).json()["data"]
        assert len({each["node"] for each in listed}) == 2
        owners: dict[str, str] = {}
        while set(owners.values()) != {
            each["id"] for each in listed
        }:  # where a session goes, rooms a moment old decide
            assert len(owners) < 4
            sid = (await client.post("/v1/sessions", json={"prompt": PROMPT, "fps": 8})).json()["id"]
            owners[sid] = (await client.until(sid, lambda each: each["status"] == "live"))["owner"]
        created = list(owners)

        async def lose() -> None:
            for sid in created:
                await client.until(sid, lambda each: each["chunks"] >= 4)
            await nodes.kill_the_second()

        losing = asyncio.create_task(lose())
        watched = await asyncio.gather(*(client.watch(sid, 20) for sid in created))
        await losing
        for each in watched:
            assert each.numbers == list(range(20))
            _, frames = decode(each.init + b"".join(each.fragments), fps=8)
            assert frames == list(range(len(frames)))
        after = {sid: await client.until(sid, lambda each: True) for sid in created}
        assert {session["status"] for session in after.values()} == {"live"}
        [left] = {session["owner"] for session in after.values()}
        for sid, owner in owners.items():
            moved = [entry for entry in await client.timeline(sid) if entry["type"] == "session.moved"]
            assert [entry["cause"] for entry in moved] == ([] if owner == left else ["lost"])
