"""Exports, posters and thumbnails over HTTP, with a real store and a real exporter; large files piece by piece."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import pytest
from api_parts import Parts, client_of
from PIL import Image
from redis_store import Store
from synthetic_session import CONFIG, fragment, pixels

from deployments import thumbnails
from deployments.api import recording as routes
from deployments.api.errors import MEDIA_TYPE
from deployments.entries import RecordingFailed, SessionEnded
from deployments.export import ExportState
from deployments.pruning import prune
from deployments.recording import Recording
from deployments.session import chunk_first_frame
from deployments.thumbnails import Thumbnails
from deployments.video_encoder import VideoEncoder, init_segment

CHUNKS = 10
FRAMES = 9 + 12 * 9


@pytest.fixture
def parts(store: Store) -> Parts:
    return Parts(store)


@pytest.fixture
async def http(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(parts) as client:
        yield client


async def recorded(parts: Parts, http: httpx.AsyncClient, chunks: int = CHUNKS, record: bool = True) -> str:
    """A session with so many chunks kept; gives its path."""
    answer = await http.post("/v1/sessions", json={"prompt": "a ball", "record": record})
    sid = answer.json()["id"]

    async def init() -> bytes:
        return init_segment(CONFIG).data

    small = Thumbnails(parts.media, sid, VideoEncoder().thumbnail)
    kept = Recording(parts.media, sid, init, pytest.fail)
    for chunk in range(chunks):
        small.add(chunk, pixels(chunk_first_frame(chunk), 1), prompt_changed=chunk == 6)
        if record:
            kept.add(fragment(sid, chunk))
    await kept.flush()
    await small.flush()
    return f"/v1/sessions/{sid}"


async def exported(parts: Parts, http: httpx.AsyncClient, path: str, ask: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post(f"{path}/exports", json=ask)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    await parts.exporter.finish()
    done: dict[str, Any] = (await http.get(answer.headers["location"])).json()
    return done


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text
    return bool(answer.json()["code"] == code and answer.json()["detail"])


async def test_an_export_is_asked_for_watched_and_downloaded(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http)
    answer = await http.post(f"{path}/exports", json={"format": "mp4", "from": 1, "to": 2.5})
    assert answer.status_code == 202
    asked = answer.json()
    assert (asked["from"], asked["to"], asked["status"], asked["progress"]) == (1.0, 2.5, "queued", 0.0)
    assert (asked["start_seconds"], asked["end_seconds"], asked["frames"]) == (9 / 16, 45 / 16, 36)
    unfinished = await http.get(asked["links"]["content"])
    assert is_problem(unfinished, 409, "export-not-ready")
    assert unfinished.headers["retry-after"] == "1"
    await parts.exporter.finish()
    done = (await http.get(answer.headers["location"])).json()
    assert (done["status"], done["progress"], done["reason"]) == ("completed", 1.0, None)
    file = await http.get(done["links"]["content"])
    assert file.status_code == 200
    assert file.headers["content-type"] == "video/mp4"
    assert file.headers["content-length"] == str(done["size"]) == str(len(file.content))
    assert file.headers["content-disposition"] == f'attachment; filename="longlive-{done["id"]}.mp4"'
    with av.open(io.BytesIO(file.content), "r") as container:
        assert len(list(container.decode(video=0))) == 36
    listed = (await http.get(f"{path}/exports")).json()["data"]
    assert listed == [done]


async def test_an_export_of_everything_can_be_asked_for_while_the_session_lives(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    path = await recorded(parts, http)
    assert (await http.get(path)).json()["status"] == "starting"
    done = await exported(parts, http, path, {"format": "mp4"})
    assert (done["from"], done["to"], done["frames"], done["size"] > 0) == (None, None, FRAMES, True)
    done = await exported(parts, http, path, {"format": "webp", "to": 0.5})
    file = await http.get(done["links"]["content"])
    assert file.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(file.content)).n_frames == 9  # type: ignore[attr-defined]


async def test_parts_of_a_file_are_answered_as_asked_for(parts: Parts, http: httpx.AsyncClient) -> None:
    done = await exported(parts, http, await recorded(parts, http), {"format": "mp4"})
    url, size = done["links"]["content"], done["size"]
    whole = (await http.get(url)).content
    head = await http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")
    etag = head.headers["etag"]
    for asked, start, stop in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=10-{10 * size}", 10, size),
    ):
        answer = await http.get(url, headers={"Range": asked, "If-Range": etag})
        assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes {start}-{stop - 1}/{size}")
        assert answer.content == whole[start:stop]
        assert answer.headers["etag"] == etag
    for asked, if_range in (
        ("bytes=0-99", '"other"'),
        ("bytes=0-1,4-5", etag),
        ("lines=1-2", etag),
        ("bytes=9-1", etag),
    ):
        answer = await http.get(url, headers={"Range": asked, "If-Range": if_range})
        assert (answer.status_code, answer.content) == (200, whole)
    beyond = await http.get(url, headers={"Range": f"bytes={size}-"})
    assert is_problem(beyond, 416, "bad-range")
    assert beyond.headers["content-range"] == f"bytes */{size}"


async def test_what_is_not_recorded_cannot_be_exported(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http, record=False)
    assert is_problem(await http.post(f"{path}/exports", json={"format": "mp4"}), 409, "not-recorded")
    path = await recorded(parts, http, chunks=0)
    assert is_problem(await http.post(f"{path}/exports", json={"format": "mp4"}), 409, "nothing-recorded")
    path = await recorded(parts, http)
    late = {"format": "mp4", "from": 7.4}
    assert is_problem(await http.post(f"{path}/exports", json=late), 409, "nothing-recorded")


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"format": "avi"},
        {"format": "mp4", "from": 2, "to": 2},
        {"format": "mp4", "from": -1},
        {"format": "mp4", "from": "1"},
        {"format": "mp4", "start": 1},
        {"format": "mp4", "to": 0},
        {"format": "mp4", "to": 1e300},
    ],
)
async def test_an_export_that_cannot_be_is_refused(parts: Parts, http: httpx.AsyncClient, ask: dict[str, Any]) -> None:
    path = await recorded(parts, http, chunks=1)
    assert is_problem(await http.post(f"{path}/exports", json=ask), 422, "invalid-request")


async def test_moving_pictures_are_at_most_a_minute_long(
    parts: Parts, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MOST_PICTURES_SECONDS", 3.0)
    path = await recorded(parts, http)
    for kind in ("webp", "gif"):
        assert is_problem(await http.post(f"{path}/exports", json={"format": kind}), 422, "too-long")
        assert (await http.post(f"{path}/exports", json={"format": kind, "from": 1, "to": 4})).status_code == 202
    await parts.exporter.finish()


async def test_a_new_export_takes_the_place_of_one_that_failed_and_then_of_the_oldest(
    parts: Parts, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await recorded(parts, http, chunks=1)
    sid = path.rpartition("/")[2]
    monkeypatch.setattr(routes, "MOST_KEPT", 3)
    made = [await exported(parts, http, path, {"format": "mp4"}) for _ in range(2)]
    init = await parts.media.read(f"{sid}/init.mp4")
    await parts.media.delete(f"{sid}/init.mp4")
    failed = await exported(parts, http, path, {"format": "mp4"})
    assert failed["status"] == "failed"
    await parts.media.write(f"{sid}/init.mp4", init)
    made += [await exported(parts, http, path, {"format": "mp4"}) for _ in range(2)]
    assert [export["status"] for export in made] == ["completed"] * 4
    listed = (await http.get(f"{path}/exports")).json()["data"]
    assert {export["id"] for export in listed} == {export["id"] for export in made[1:]}
    assert await parts.media.names(f"{sid}/exports") == sorted(f"{export['id']}.mp4" for export in made[1:])


async def test_not_any_number_of_exports_of_a_session_is_made_at_a_time(
    parts: Parts, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await recorded(parts, http, chunks=1)
    monkeypatch.setattr(routes, "MOST_KEPT", 1)
    done = await exported(parts, http, path, {"format": "mp4"})
    sid = path.rpartition("/")[2]
    made = await parts.exports.get(sid, done["id"])
    await parts.exports.update(made.model_copy(update={"status": ExportState.queued}))
    await parts.exports.beat(sid, made.id)
    assert is_problem(await http.post(f"{path}/exports", json={"format": "mp4"}), 409, "too-many-exports")
    await parts.exports.update(made)
    assert (await exported(parts, http, path, {"format": "mp4"}))["status"] == "completed"


async def test_what_was_kept_before_a_recording_failed_can_be_exported(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http)
    await parts.state(path.rpartition("/")[2], RecordingFailed(reason="The store is full."))
    done = await exported(parts, http, path, {"format": "mp4"})
    assert (done["status"], done["frames"]) == ("completed", FRAMES)


async def test_an_exporter_with_a_long_queue_says_when_to_come_back(
    parts: Parts, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.exporter.MOST_WAITING", 0)
    path = await recorded(parts, http, chunks=1)
    busy = await http.post(f"{path}/exports", json={"format": "mp4"})
    assert is_problem(busy, 503, "exporter-busy")
    assert busy.headers["retry-after"] == "30"
    assert (await http.get(f"{path}/exports")).json() == {"data": []}


async def test_a_failed_export_says_why(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http)
    await parts.media.delete(f"{path.rpartition('/')[2]}/init.mp4")
    failed = await exported(parts, http, path, {"format": "mp4"})
    assert (failed["status"], "init.mp4" in failed["reason"]) == ("failed", True)
    assert is_problem(await http.get(failed["links"]["content"]), 409, "export-failed")


async def test_nobody_finds_what_there_is_not(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http, chunks=1)
    for route in ("exports", "exports/x", "exports/x/content", "poster.jpg", "thumbnails", "thumbnails/000000000.webp"):
        assert (await http.get(f"/v1/sessions/..%2f..%2fetc/{route}")).status_code == 404
        assert is_problem(await http.get(f"/v1/sessions/nobody/{route}"), 404, "no-such-session")
    assert is_problem(await http.get(f"{path}/exports/x"), 404, "no-such-export")
    assert is_problem(await http.get(f"{path}/exports/x/content"), 404, "no-such-export")
    assert is_problem(await http.get(f"{path}/thumbnails/000000003.webp"), 404, "no-such-thumbnail")
    assert is_problem(await http.get(f"{path}/thumbnails/-1.webp"), 404, "no-such-thumbnail")
    assert (await http.get(f"{path}/thumbnails/x.webp")).status_code == 422
    assert (await http.get(f"{path}/poster.jpg?at=nan")).status_code == 422


async def test_thumbnails_lie_along_the_video_and_never_change(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http, record=False)
    listed = (await http.get(f"{path}/thumbnails")).json()["data"]
    assert [thumbnail["chunk"] for thumbnail in listed] == [0, 4, 6, 8]
    assert [thumbnail["media_seconds"] for thumbnail in listed] == [0.0, 45 / 16, 69 / 16, 93 / 16]
    assert (await http.get(f"{path}/thumbnails?after=-1")).json()["data"] == listed
    assert (await http.get(f"{path}/thumbnails?after=4")).json()["data"] == listed[2:]
    assert (await http.get(f"{path}/thumbnails?after=8")).json()["data"] == []
    assert is_problem(await http.get(f"{path}/thumbnails?after=x"), 422, "invalid-request")
    answer = await http.get(listed[2]["url"])
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)


async def test_a_poster_is_there_as_soon_as_there_is_a_picture(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http, chunks=0)
    assert is_problem(await http.get(f"{path}/poster.jpg"), 409, "no-picture")
    path = await recorded(parts, http)
    for query in ("", "?at=2.5", "?at=9999"):
        answer = await http.get(f"{path}/poster.jpg{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
        assert answer.headers["cache-control"] == "max-age=2"
    await parts.state(path.rpartition("/")[2], SessionEnded(reason="requested"))
    answer = await http.get(f"{path}/poster.jpg")
    assert answer.headers["cache-control"] == "public, max-age=3600", "there is no newer picture to come"


async def test_media_are_deleted_with_their_session_and_not_before(parts: Parts, http: httpx.AsyncClient) -> None:
    forgotten, kept = [(await recorded(parts, http, chunks=5)).rpartition("/")[2] for _ in range(2)]
    await exported(parts, http, f"/v1/sessions/{forgotten}", {"format": "mp4"})
    assert await prune(parts.media, parts.exports, parts.store.timeline) == []
    await parts.store.timeline.forget(forgotten)
    assert await prune(parts.media, parts.exports, parts.store.timeline) == [], "nobody could miss it yet"
    assert await prune(parts.media, parts.exports, parts.store.timeline, keep_seconds=0) == [forgotten]
    assert await parts.media.sessions() == [kept]
    assert await parts.exports.list(forgotten) == []
    assert await thumbnails.stored(parts.media, kept) == [0, 4]


async def test_an_export_that_is_asked_for_twice_with_a_key_is_made_once(parts: Parts, http: httpx.AsyncClient) -> None:
    path = await recorded(parts, http)
    answer = await http.post(f"{path}/exports", json={"format": "mp4"}, headers={"Idempotency-Key": "k"})
    again = await http.post(f"{path}/exports", json={"format": "mp4"}, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])
    await parts.exporter.finish()
    export = await parts.exports.get(path.rpartition("/")[2], answer.json()["id"])
    assert export.status is ExportState.completed
