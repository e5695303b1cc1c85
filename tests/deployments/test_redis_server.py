"""The embedded Redis: starts, keeps what it was told, refuses a directory in use, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis

from deployments.redis_server import RedisServer, RedisServerError


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    for expected in (None, b"1", b"11"):
        with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
            assert client.get("k") == expected
            client.append("k", "1")


def test_one_that_is_not_persistent_begins_empty(tmp_path: Path) -> None:
    with RedisServer(tmp_path, persistent=False) as server, redis.Redis.from_url(server.url) as client:
        client.set("k", "1")
        assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == []
        url = server.url
        kill(server)
        server.keep()
        assert server.url == url
        assert client.get("k") is None


def test_beyond_its_memory_it_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, persistent=False, max_bytes=8 * 2**20) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.set("0", bytes(2**19))
        while not client.object("idletime", "0"):  # it counts seconds
            time.sleep(0.05)
        for number in range(1, 40):
            client.set(str(number), bytes(2**19))
        assert client.get("0") is None
        assert client.get("39") == bytes(2**19)


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert server.url.startswith("redis://127.0.0.1:")


def test_a_directory_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as first:
        with pytest.raises(RedisServerError, match="in use") as caught:
            RedisServer(tmp_path).start()
        assert "\n" not in str(caught.value)
        with redis.Redis.from_url(first.url) as client:
            assert client.ping()
    with RedisServer(tmp_path):
        pass


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(b"*1\r\nrubbish\r\nmore rubbish")
    with pytest.raises(RedisServerError, match="redis-server stopped with code"):
        RedisServer(tmp_path).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(RedisServerError, match="Cannot write"):
        RedisServer(tmp_path / "file" / "below").start()


def test_stopping_leaves_no_process_and_can_be_repeated(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    pid = server.pid
    assert pid is not None
    assert os.getpgid(pid) == pid != os.getpgid(0)
    server.stop()
    server.stop()
    assert not alive(pid)
    assert server.pid is None


def test_a_server_that_died_comes_back_where_its_clients_look_with_its_data(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.set("k", "kept")
        url = server.url
        first = server.pid
        server.keep()
        assert server.pid == first
        kill(server)
        server.keep()
        assert server.pid != first
        assert server.url == url
        assert client.get("k") == b"kept"
        kill(server)
        with (
            socket.create_server(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))),
            pytest.raises(RedisServerError, match="redis-server stopped") as caught,
        ):
            server.keep()
        assert "\n" not in str(caught.value)


def kill(server: RedisServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.alive:
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = """
        import sys, time, pathlib
        from deployments.redis_server import RedisServer
        server = RedisServer(pathlib.Path(sys.argv[1]))
        server.start()
        print(server.pid, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
