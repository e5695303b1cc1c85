"""Downloads: resumed, verified, and clear about what went wrong; against a double of the hub on this machine."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from longlive.hub import PATIENCE, FetchError, Hub, free_bytes, missing_bytes, partial_path
from longlive.presets import Source
from tests.longlive.loopback_hub import LoopbackHub, digest, serving

LARGE = random.Random(0).randbytes(3_000_000)
SMALL = b'{"model": {}}'
BIG_FILE = Source("someone/model", "models/base.pt", "into")
SMALL_FILE = Source("someone/model", "google/tokenizer.json", "into")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving({"someone/model/models/base.pt": LARGE, "someone/model/google/tokenizer.json": SMALL}) as hub:
        yield hub


@pytest.fixture
def hub(server: LoopbackHub) -> Hub:
    return Hub(server.url, sleep=lambda seconds: None)


def visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def test_a_file_is_looked_up_with_its_size_and_hash(hub: Hub) -> None:
    assert hub.look_up(BIG_FILE).size == len(LARGE)
    assert len(hub.look_up(BIG_FILE).digest) == 64
    assert len(hub.look_up(SMALL_FILE).digest) == 40


@pytest.mark.parametrize(("source", "content"), [(BIG_FILE, LARGE), (SMALL_FILE, SMALL)])
def test_a_file_arrives_whole_and_every_byte_is_told(hub: Hub, source: Source, content: bytes, tmp_path: Path) -> None:
    counted: list[int] = []
    remote = hub.look_up(source)
    hub.download(remote, tmp_path / source.path, counted.append)
    assert (tmp_path / source.path).read_bytes() == content
    assert sum(counted) == len(content)
    assert remote.is_at(tmp_path / source.path)
    assert [path.name for path in visible((tmp_path / source.path).parent)] == [Path(source.file).name]


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, server: LoopbackHub, tmp_path: Path) -> None:
    server.cut_after = [1_000_000, 500_000]
    hub.download(hub.look_up(BIG_FILE), tmp_path / "base.pt")
    assert (tmp_path / "base.pt").read_bytes() == LARGE
    starts = [int(span.removeprefix("bytes=").rstrip("-")) for method, _, span in server.requests if span]
    assert len(starts) == 2
    assert 0 < starts[0] <= 1_000_000
    assert starts[0] < starts[1] <= 1_500_000


def test_an_interrupted_download_is_taken_up_by_the_next_run(hub: Hub, server: LoopbackHub, tmp_path: Path) -> None:
    partial_path(tmp_path / "base.pt", digest(LARGE)).write_bytes(LARGE[:2_000_000])
    remote = hub.look_up(BIG_FILE)
    assert missing_bytes([remote], tmp_path) == len(LARGE)  # that one's place is elsewhere
    counted: list[int] = []
    hub.download(remote, tmp_path / "base.pt", counted.append)
    assert (tmp_path / "base.pt").read_bytes() == LARGE
    assert counted[0] == 2_000_000
    assert sum(counted) == len(LARGE)
    assert server.requests[-1] == ("GET", "models/base.pt", "bytes=2000000-")


def test_the_part_of_another_file_is_not_gone_on_with(hub: Hub, server: LoopbackHub, tmp_path: Path) -> None:
    server.cut_after = [1_000_000] + [0] * PATIENCE
    with pytest.raises(FetchError):
        hub.download(hub.look_up(BIG_FILE), tmp_path / "base.pt")
    newer = server.files["someone/model/models/base.pt"] = LARGE[::-1]
    hub.download(hub.look_up(BIG_FILE), tmp_path / "base.pt")
    assert (tmp_path / "base.pt").read_bytes() == newer


def test_two_downloads_of_a_file_at_once_do_not_disturb_each_other(
    hub: Hub, server: LoopbackHub, tmp_path: Path
) -> None:
    remote = hub.look_up(BIG_FILE)
    counted: list[int] = []
    second = threading.Thread(target=hub.download, args=(remote, tmp_path / "base.pt", counted.append))

    def start_second(count: int) -> None:
        if second.ident is None:
            second.start()
            second.join(0.5)  # all the time it wants to get in the way

    hub.download(remote, tmp_path / "base.pt", start_second)
    second.join()
    assert (tmp_path / "base.pt").read_bytes() == LARGE
    assert counted == [len(LARGE)]
    assert [method for method, *_ in server.requests].count("GET") == 1


def test_what_is_no_hub_is_told_before_anything_is_downloaded(
    hub: Hub, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.longlive.loopback_hub.digest", lambda content: "5f3-6789")  # a plain web server's ETag
    with pytest.raises(FetchError, match="does not answer as a hub does"):
        hub.look_up(BIG_FILE)


def test_a_server_that_cannot_resume_sends_it_all_again(hub: Hub, server: LoopbackHub, tmp_path: Path) -> None:
    server.ranges_work = False
    partial_path(tmp_path / "base.pt", digest(LARGE)).write_bytes(LARGE[:2_000_000])
    counted: list[int] = []
    hub.download(hub.look_up(BIG_FILE), tmp_path / "base.pt", counted.append)
    assert (tmp_path / "base.pt").read_bytes() == LARGE
    assert sum(counted) == len(LARGE)


def test_a_file_with_another_hash_is_not_kept(hub: Hub, server: LoopbackHub, tmp_path: Path) -> None:
    server.damage = True
    remote = hub.look_up(BIG_FILE)
    with pytest.raises(FetchError, match="arrived damaged"):
        hub.download(remote, tmp_path / "base.pt")
    assert visible(tmp_path) == []


@pytest.mark.parametrize("content", [LARGE[:-1], LARGE[:-1] + b"?", None])
def test_a_file_that_differs_by_a_byte_is_not_taken_for_complete(
    hub: Hub, content: bytes | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "base.pt").write_bytes(content)
    assert not hub.look_up(BIG_FILE).is_at(tmp_path / "base.pt")


def test_what_is_left_to_download_and_the_room_for_it_are_known_beforehand(hub: Hub, tmp_path: Path) -> None:
    remote = hub.look_up(BIG_FILE)
    part = partial_path(tmp_path / BIG_FILE.path, digest(LARGE))
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:1_000_000])
    assert missing_bytes([remote, hub.look_up(SMALL_FILE)], tmp_path) == len(LARGE) - 1_000_000 + len(SMALL)
    assert free_bytes(tmp_path / "not" / "yet") > 0


def test_a_file_that_is_gone_is_named(hub: Hub, server: LoopbackHub) -> None:
    del server.files["someone/model/models/base.pt"]
    with pytest.raises(FetchError, match="someone/model has no such file any more"):
        hub.look_up(BIG_FILE)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_right_token_the_variable_is_named(
    hub: Hub, server: LoopbackHub, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "right"
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(FetchError, match="HF_TOKEN"):
        hub.look_up(BIG_FILE)
    monkeypatch.setenv("HF_TOKEN", "right")
    assert hub.look_up(BIG_FILE).size == len(LARGE)


def test_a_hub_that_cannot_be_reached_is_given_up_after_some_attempts(
    server: LoopbackHub, hub: Hub, tmp_path: Path
) -> None:
    remote = hub.look_up(BIG_FILE)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        waits: list[float] = []
        elsewhere = Hub(f"http://127.0.0.1:{nobody.getsockname()[1]}", sleep=waits.append)
        with pytest.raises(FetchError, match="cannot reach http://127"):
            elsewhere.look_up(BIG_FILE)
        with pytest.raises(FetchError, match="cannot reach"):
            elsewhere.download(remote, tmp_path / "base.pt")
    assert len(waits) == PATIENCE - 1
