"""Viewers that misbehave, and many of them: slow, stopped, vanished, coming all at once, coming and going."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

import httpx
import pytest
from media_server import MediaServer, Video, serving
from redis_store import Store

from deployments.fragments import KEPT, Fragment

MIB = 1024 * 1024


@pytest.fixture
async def server(store: Store) -> AsyncIterator[MediaServer]:
    async with serving(store, keep_s=0.5) as server:
        yield server


@pytest.fixture
async def video(server: MediaServer) -> Video:
    video = await server.video()
    await video.start()
    await video.make(1)
    return video


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


class RawViewer:
    """A viewer by socket, which does only what it is told to."""

    def __init__(self, server: MediaServer, path: str) -> None:
        self._address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        self._path = server.path(path).removeprefix(server.url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)

    async def ask(self) -> RawViewer:
        await asyncio.get_running_loop().sock_connect(self.socket, self._address)
        request = f"GET {self._path} HTTP/1.1\r\nHost: x\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(self.socket, request.encode())
        return self

    async def read(self, count: int = 256) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, count)

    def reset(self) -> None:
        """Gone with a RST, as when its process is killed with data unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


async def test_readers_that_stop_hold_nothing_and_are_held_nothing(server: MediaServer, video: Video) -> None:
    with ExitStack() as stack:
        readers = [await RawViewer(server, "live.mp4").ask() for _ in range(10)]
        for reader in readers:
            stack.callback(reader.socket.close)
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        made = 40
        for _ in range(made):  # what a socket's buffers take is a few of them
            await video.make(1, padding=4 * MIB)
            await asyncio.sleep(0)
        await until(lambda: server.viewers() == 0)
        assert server.asked["fragments"] <= 3 * len(readers), "fragments were pulled for who reads nothing"
        gc.collect()
        kept = sum(type(thing) is Fragment for thing in gc.get_objects())
        assert kept <= 2 * KEPT + len(readers)  # the ring of the owner, and that of the ingress
        assert server.open_upstreams <= 1
        await until(lambda: server.open_upstreams == 0)  # nobody takes anything: the session is not watched
    await until(lambda: server.requests == 0)


async def test_a_reader_that_stopped_reads_on_near_the_live_edge(server: MediaServer, video: Video) -> None:
    with (reader := await RawViewer(server, "live.mp4").ask()).socket:
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        await video.make(40, padding=MIB)
        await until(lambda: server.viewers() == 0)
        tail = b""
        read = 0
        while server.viewers() == 0:  # it waits for the next fragment: it has had the newest
            tail = (tail + await reader.read(MIB))[-2 * MIB :]
            read += 1
        await until(lambda: server.asked["fragments"] < 40)
    assert tail.count(b"moof") <= 2


@pytest.mark.parametrize("path", ["live.mp4", "fragments?after=0", "hls/live.m3u8?_HLS_msn=1", "hls/1.0.m4s"])
async def test_a_viewer_that_vanishes_without_a_word_keeps_no_session_alive(
    server: MediaServer, video: Video, path: str
) -> None:
    """Half open: no FIN, no RST, nobody reads. To the service that is a reader that has stopped."""
    with (viewer := await RawViewer(server, path).ask()).socket:
        await until(lambda: server.viewers() == 1)
        for _ in range(16):
            await video.make(1, padding=MIB)
            await asyncio.sleep(0.01)
        await until(lambda: server.viewers() == 0)
        await until(lambda: server.open_upstreams == 0)
        assert server.hub.ring("s") is None
        viewer.reset()
    await until(lambda: server.requests == 0)


async def test_viewers_that_are_reset_are_forgotten(server: MediaServer, video: Video) -> None:
    viewers = [await RawViewer(server, "live.mp4").ask() for _ in range(20)]
    for viewer in viewers:
        await viewer.read()
    await until(lambda: server.requests == 20)
    for viewer in viewers:
        viewer.reset()
    await video.make(1)
    await until(lambda: server.viewers() == 0)
    await until(lambda: server.requests == 0)


async def test_fifty_clients_at_once_and_again_are_all_served_by_one_upstream(store: Store) -> None:
    waiting = 0

    async def come(storm: int) -> list[bytes]:
        nonlocal waiting
        async with httpx.AsyncClient(base_url=server.path(""), timeout=30, verify=False) as http:
            init = await http.get("init.mp4")
            newest = await http.get("fragments", params={"after": 2 * storm - 1})
            waiting += 1
            following = await http.get("fragments", params={"after": newest.headers["x-fragment"]})
            assert (init.status_code, newest.status_code, following.status_code) == (200, 200, 200)
            return [init.content, newest.content, following.content]

    async with serving(store, keep_s=60) as server:
        video = await server.video()
        await video.start()
        for storm in range(3):
            clients = asyncio.gather(*(come(storm) for _ in range(50)))
            await video.make(1)
            await until(lambda: waiting == 50 * (storm + 1) and server.requests == 50)  # noqa: B023
            await video.make(1)
            served = await clients
            assert all(each == served[0] for each in served)
        assert server.upstreams == [("s", "first")]
        assert server.asked["fragments"] < 50
        await until(lambda: server.viewers() == 0)


async def test_viewers_of_many_sessions_have_one_upstream_each(server: MediaServer) -> None:
    sids = [f"s{number}" for number in range(8)]
    for sid in sids:
        await (await server.video(sid)).start()
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as http:
        pulls = [asyncio.create_task(http.get(server.path("fragments", sid))) for sid in sids for _ in range(6)]
        await until(lambda: server.requests == len(pulls))
        for sid in sids:
            await server.videos[sid].make(1)
        assert {answer.status_code for answer in await asyncio.gather(*pulls)} == {200}
    assert sorted(server.upstreams) == [(sid, "first") for sid in sids]
    await until(lambda: server.open_upstreams == 0)
