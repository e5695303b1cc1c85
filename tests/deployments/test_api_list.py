"""The list of sessions: newest first, in pages, by state and label."""

from __future__ import annotations

from typing import Any
from unittest import mock

import httpx
import pytest
from api_parts import Parts

from deployments.api import listing
from deployments.store import SESSION_INDEX
from deployments.timeline import Timeline

SESSIONS = "/v1/sessions"


async def create(http: httpx.AsyncClient, **labels: str) -> str:
    return (await http.post(SESSIONS, json={"prompt": "a ball", "labels": labels})).json()["id"]


async def listed(http: httpx.AsyncClient, **params: Any) -> list[list[str]]:
    """Ids, page by page, to the end."""
    pages = []
    while True:
        page = (await http.get(SESSIONS, params=params)).json()
        pages.append([session["id"] for session in page["data"]])
        assert (page["next"] is not None) == page["has_more"]
        if not page["has_more"]:
            return pages
        params["after"] = page["next"]


def flat(pages: list[list[str]]) -> list[str]:
    return [sid for page in pages for sid in page]


async def test_pages_are_filled_newest_first(http: httpx.AsyncClient) -> None:
    sids = [await create(http) for _ in range(5)]
    assert flat(await listed(http)) == sids[::-1]
    pages = await listed(http, limit=2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert flat(pages) == sids[::-1]


async def test_a_session_that_is_created_meanwhile_moves_no_page(http: httpx.AsyncClient) -> None:
    sids = [await create(http) for _ in range(4)]
    page = (await http.get(SESSIONS, params={"limit": 2})).json()
    await create(http)
    rest = (await http.get(SESSIONS, params={"limit": 2, "after": page["next"]})).json()
    assert [session["id"] for session in rest["data"]] == sids[1::-1]


async def test_filters_join(http: httpx.AsyncClient, parts: Parts) -> None:
    film = await create(http, team="film", shot="1:2")
    other = await create(http, team="film", shot="2")
    await create(http, team="game")
    await parts.make(film, 1)
    assert flat(await listed(http, label="team:film")) == [other, film]
    assert flat(await listed(http, label=["team:film", "shot:1:2"])) == [film]
    assert flat(await listed(http, label="team:film", status="live")) == [film]
    assert flat(await listed(http, label="team:film", status=["live", "starting"])) == [other, film]
    assert flat(await listed(http, status="failed")) == []


async def test_a_filter_that_few_pass_costs_short_pages_and_loses_none(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 4)
    monkeypatch.setattr(listing, "_BATCH", 2)
    sids = [await create(http, odd=str(number % 2)) for number in range(11)]
    pages = await listed(http, label="odd:1", limit=3)
    assert flat(pages) == sids[1::2][::-1]
    assert len(pages) > 2


async def test_what_was_refused_hides_nobody(http: httpx.AsyncClient, parts: Parts) -> None:
    async def refuse(count: int) -> None:
        parts.room = len(parts.fences)
        for _ in range(count):
            assert (await http.post(SESSIONS, json={"prompt": "a ball"})).status_code == 503
        parts.room = None

    await refuse(125)
    sid = await create(http)
    await refuse(125)
    page = (await http.get(SESSIONS, params={"limit": 1})).json()
    assert ([session["id"] for session in page["data"]], page["has_more"], page["next"]) == ([sid], False, None)
    assert await parts.store.redis.zcard(SESSION_INDEX) == 1


async def test_an_unfiltered_page_reads_no_more_than_it_shows_and_one(http: httpx.AsyncClient, parts: Parts) -> None:
    sids = [await create(http) for _ in range(4)]
    with mock.patch.object(Timeline, "sessions", autospec=True, side_effect=Timeline.sessions) as read:
        assert flat(await listed(http, limit=2)) == sids[::-1]
    assert [call.args[2] for call in read.call_args_list] == [3, 3]


async def test_what_is_no_longer_kept_is_not_listed(http: httpx.AsyncClient, parts: Parts) -> None:
    sids = [await create(http) for _ in range(3)]
    await parts.store.timeline.forget(sids[1])
    assert flat(await listed(http)) == [sids[2], sids[0]]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("after=rubbish", 400, "bad-cursor"),
        ("limit=0", 422, "invalid-request"),
        ("limit=101", 422, "invalid-request"),
        ("status=running", 422, "invalid-request"),
        ("label=team", 422, "invalid-request"),
        ("label=:film", 422, "invalid-request"),
    ],
)
async def test_a_wrong_query_is_refused(http: httpx.AsyncClient, query: str, status: int, code: str) -> None:
    answer = await http.get(f"{SESSIONS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
