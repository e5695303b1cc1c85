"""Several sessions, several tabs, several people at the page; and a service and a network that fail them."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from browser import Watcher, browsing, open_tab, watching
from playwright.async_api import Route
from service_client import Client
from service_process import ServiceProcess

from running_service import process_of
from tests.support import find_chromium

PROMPT = "a red ball hops in a meadow by day in clear weather"
OTHER = "a blue donut moves right in the city at night while it rains"
THROUGHPUT = 3500  # bytes a second: less than the video of the shipped model has


async def test_two_videos_side_by_side_in_one_browser(service: ServiceProcess, client: Client) -> None:
    async with browsing(find_chromium()) as browser:
        left, right = [await open_tab(browser, service.url) for _ in range(2)]
        for tab, prompt in ((left, PROMPT), (right, OTHER)):
            await tab.page.bring_to_front()
            await tab.say(prompt)
            await tab.watch_until(1.0)
            assert tab.session
            client.tokens[tab.session] = await tab.token()
        for tab, prompt in ((left, "it starts to snow"), (right, "now it is night")):
            await tab.page.bring_to_front()
            await tab.say(prompt)
            await tab.sees("#prompts li[data-current] q", prompt)
        assert await left.prompts() == [PROMPT, "it starts to snow"]
        assert await right.prompts() == [OTHER, "now it is night"]
        for tab in (left, right):
            assert tab.session
            await client.end(tab.session)
            await tab.status("^Ended")
            assert not tab.faults


async def test_eight_tabs_of_one_browser_all_play(service: ServiceProcess, client: Client) -> None:
    """A browser opens six connections to a server; no tab may hold one."""
    async with client.session(PROMPT) as first, client.session(OTHER) as second, browsing(find_chromium()) as browser:
        addresses = [f"{service.url}/#session={created['id']}" for created in (first, second)]
        tabs = [await open_tab(browser, addresses[number % 2]) for number in range(8)]
        for tab in tabs:
            await tab.page.bring_to_front()  # a tab behind another need not play
            await tab.watch_on(1.5)
        for tab in tabs:  # and go on while seven others do
            await tab.page.bring_to_front()
            await tab.watch_on(1.5)
            assert not tab.faults


async def test_who_has_only_the_link_watches_and_can_start_their_own(service: ServiceProcess, client: Client) -> None:
    async with client.session(PROMPT) as created:
        async with watching(find_chromium(), f"{service.url}/#session={created['id']}") as guest:
            await guest.watch_on(1.0)
            await guest.sees("#watching", "You are watching")
            for hidden in ("#prompt", "#send", "#pause", "#end", ".future"):
                assert not await guest.page.locator(hidden).is_visible(), f"{hidden} would do nothing"
            await guest.page.get_by_role("link", name="Start your own").click()
            await guest.page.get_by_label("What should the video show?").wait_for()
            assert guest.session is None
        assert (await client.get(f"/v1/sessions/{created['id']}")).json()["status"] == "live"


async def test_a_token_that_is_refused_makes_a_viewer(service: ServiceProcess, client: Client) -> None:
    async with client.session(PROMPT) as created, watching(find_chromium(), service.url) as guest:
        await guest.page.evaluate(
            "(id) => localStorage.setItem(`longlive.control.${id}`, JSON.stringify({token: 'not-it', at: 0}))",
            created["id"],
        )
        await guest.page.goto(f"{service.url}/#session={created['id']}")
        await guest.page.reload()
        await guest.watch_on(0.5)
        await guest.say("it starts to snow")
        await guest.sees("#watching", "You are watching")
        assert await guest.page.inner_text("#notice"), "it is told why"


async def test_a_start_that_takes_long_is_waited_for_and_its_video_can_be_steered(watcher: Watcher) -> None:
    """The first request ends without its answer; the next ones come while the service still works on it."""
    keys: list[str | None] = []

    async def slow(route: Route) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        keys.append(await route.request.header_value("Idempotency-Key"))
        if len(keys) == 1:
            await route.fetch()
            return await route.abort()
        if len(keys) < 6:
            problem = {"code": "in-progress", "detail": "It is not answered yet."}
            headers = {"Retry-After": "0.1", "Content-Type": "application/problem+json"}
            return await route.fulfill(status=409, headers=headers, body=json.dumps(problem))
        return await route.continue_()

    await watcher.page.route("**/v1/sessions", slow)
    await watcher.say(PROMPT)
    await watcher.watch_until(0.5)
    assert (len(keys), len(set(keys))) == (6, 1)
    assert await watcher.page.locator("#pause").is_visible(), "its token is known"


@pytest.mark.parametrize(
    ("damage", "is_kept"),
    [
        (
            "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('', 'SecurityError'); }})",
            0,
        ),
        ("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }", 0),
        ("localStorage['longlive.control.other'] = '{'; localStorage['longlive.control.another'] = 'null'", 1),
    ],
    ids=["blocked", "full", "damaged"],
)
async def test_a_browser_that_keeps_nothing_steers_as_long_as_the_page_is_open(
    service: ServiceProcess, client: Client, damage: str, is_kept: bool
) -> None:
    async with watching(find_chromium(), "about:blank") as watcher:
        await watcher.page.add_init_script(damage)
        await watcher.page.goto(service.url)
        await watcher.page.get_by_label("What should the video show?").wait_for()
        async with watcher.page.expect_response("**/v1/sessions") as answered:
            await watcher.say(PROMPT)
        created = await (await answered.value).json()
        client.tokens[created["id"]] = created["control_token"]
        await watcher.watch_until(0.5)
        await watcher.say("it starts to snow")
        await watcher.sees("#prompts li[data-current] q", "it starts to snow")
        await watcher.page.reload()
        await watcher.watch_on(0.5)
        assert await watcher.page.locator("#pause").is_visible() == is_kept
        await client.end(created["id"])
        assert not watcher.faults


async def test_recent_videos_are_listed_to_watch_them(watcher: Watcher, client: Client) -> None:
    async with client.session(OTHER) as created:
        await client.watch(created["id"], 2)
        await watcher.sees("#gallery li[data-status=live] q", OTHER)
        card = watcher.page.locator(f"#gallery a[href*='{created['id']}']")
        await card.click()
        await watcher.watch_on(0.5)
        assert watcher.session == created["id"]
        client.tokens.setdefault(created["id"], created["control_token"])
        await watcher.page.get_by_role("link", name="LongLive").click()
        await card.wait_for()


async def test_a_second_video_is_started_in_a_tab_of_its_own(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(0.5)
    async with watcher.page.context.expect_page() as opened:
        await watcher.page.get_by_role("link", name="New video").click()
    other = Watcher(await opened.value)
    await other.page.get_by_label("What should the video show?").wait_for()
    await watcher.page.bring_to_front()
    await watcher.watch_on(1.0)


async def test_a_paused_video_stands_still_and_goes_on_where_it_stood(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.page.get_by_role("button", name="Pause").click()
    await watcher.status("^Paused")
    assert watcher.session
    paused = await client.until(watcher.session, lambda session: session["status"] == "paused")
    await watcher.page.reload()
    await watcher.status("^Paused")
    await watcher.page.get_by_role("button", name="Resume").click()
    await watcher.watch_until(paused["media_seconds"] + 1.0)
    await watcher.status("^Live")
    first = await watcher.page.evaluate("document.querySelector('video').buffered.start(0)")
    assert first >= paused["media_seconds"] - 1.0, "it began again"


async def test_a_slow_network_skips_instead_of_lagging_and_says_so(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    network = await watcher.page.context.new_cdp_session(watcher.page)
    slow = {"offline": False, "latency": 300, "downloadThroughput": THROUGHPUT, "uploadThroughput": 100_000}
    await network.send("Network.emulateNetworkConditions", slow)
    await watcher.status("some are skipped")
    await watcher.page.get_by_role("button", name="Statistics").click()
    await watcher.page.wait_for_function(
        """() => [...document.querySelectorAll('#statistics div')].some((line) =>
            line.innerText.includes('fragments skipped') && parseInt(line.querySelector('dd').innerText) > 1)"""
    )
    await network.send("Network.emulateNetworkConditions", slow | {"latency": 0, "downloadThroughput": -1})
    await watcher.watch_on(2.0)
    await watcher.status("^Live $")


@pytest.mark.service
@pytest.mark.timeout(600)  # the service starts twice
async def test_a_video_goes_on_under_the_page_when_its_generator_is_killed_and_when_the_service_is_started_again(
    tmp_path: Path,
) -> None:
    service = ServiceProcess(tmp_path)
    try:
        service.wait_until_ready()
        async with watching(find_chromium(), service.url) as watcher, Client(service.url, timeout=40.0) as client:
            await watcher.say(PROMPT)
            await watcher.watch_until(1.0)
            sid = watcher.session
            assert sid
            before = (await client.get(f"/v1/sessions/{sid}")).json()
            owner = process_of([psutil.Process(pid) for pid in service.processes()], before["owner"])
            assert owner
            owner.kill()
            await watcher.status("another one goes on")
            after = await client.until(sid, lambda session: session["moves"] == 1)
            await watcher.watch_until(after["media_seconds"] + 1.0)
            await watcher.page.locator(".mark[data-kind=moved]").wait_for()
            service.crash()
            await watcher.status("connection is lost")
            seconds = await watcher.seconds()
            service = ServiceProcess(tmp_path, service.port)
            service.wait_until_ready()
            await watcher.status("^Live")
            await watcher.watch_until(seconds + 1.0)
            assert watcher.session == sid
            assert not watcher.faults
    finally:
        service.interrupt()
