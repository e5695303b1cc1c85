"""The page for everybody: narrow and wide, light and dark, without a mouse, without motion, read aloud."""

from __future__ import annotations

from typing import Any

import pytest
from browser import Watcher, watching
from service_client import Client
from service_process import ServiceProcess

from tests.support import find_chromium

PROMPT = "a red ball hops in a meadow by day in clear weather"
LEAST_CONTRAST = 4.5  # of small text, WCAG 2 AA
NAMED_ROLES = {
    "button",
    "link",
    "textbox",
    "checkbox",
    "combobox",
    "slider",
    "spinbutton",
    "region",
    "group",
    "list",
    "form",
    "dialog",
}
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FAINT_TEXTS = """() => {
    const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
        .getContext("2d", {willReadFrequently: true});
    const rgba = (color) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (upper, lower) => {
        const alpha = upper[3] + lower[3] * (1 - upper[3]);
        if (!alpha) return [0, 0, 0, 0];
        const mixed = (i) => (upper[i] * upper[3] + lower[i] * lower[3] * (1 - upper[3])) / alpha;
        return [mixed(0), mixed(1), mixed(2), alpha];
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const part = walker.currentNode.parentElement;
        const isShown = part.checkVisibility({visibilityProperty: true, opacityProperty: true});
        if (!text || part.closest("noscript, :disabled") || !isShown) continue;
        let [ground, ink] = [[0, 0, 0, 0], rgba(getComputedStyle(part).color)];
        for (let one = part; one; one = one.parentElement) {
            const { backgroundColor, opacity } = getComputedStyle(one);
            // Where a picture is, it may be as bright as that.
            const own = rgba(one.id === "screen" ? "white" : backgroundColor);
            [ground, ink] = [ground, ink].map((layer) => over(layer, own));
            for (const layer of [ground, ink]) layer[3] *= opacity;
        }
        [ground, ink] = [ground, ink].map((layer) => over(layer, [255, 255, 255, 1]));
        const [low, high] = [ground, ink].map((color) => light(color.slice(0, 3))).sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        faint.push([contrast, text]);
    }
    return faint;
}"""


async def faint_texts(watcher: Watcher) -> list[str]:
    found: list[tuple[float, str]] = await watcher.page.evaluate(FAINT_TEXTS)
    assert len(found) > 5, "no text was looked at"
    return [f"{contrast:.1f}: {text}" for contrast, text in found if contrast < LEAST_CONTRAST]


async def unnamed_parts(watcher: Watcher) -> list[str]:
    """Parts that somebody who hears the page meets without hearing what they are."""
    tree = await (await watcher.page.context.new_cdp_session(watcher.page)).send("Accessibility.getFullAXTree")
    nodes: list[dict[str, Any]] = [node for node in tree["nodes"] if not node["ignored"]]
    assert sum(node["role"]["value"] == "button" for node in nodes) > 1, "no button was looked at"
    return [
        node["role"]["value"]
        for node in nodes
        if node["role"]["value"] in NAMED_ROLES and not node.get("name", {}).get("value", "").strip()
    ]


async def open_everything(watcher: Watcher) -> None:
    """A video with a prompt to come and every part of the page open."""
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.page.locator(".cursor").focus()
    await watcher.page.keyboard.press("PageUp")
    await watcher.page.keyboard.press("PageUp")
    await watcher.page.keyboard.press("Enter")
    await watcher.say("a red zebra")
    await watcher.sees("#prompts li[data-state=scheduled] q", "zebra")
    await watcher.page.locator("#mode").select_option("blend")
    await watcher.page.get_by_role("button", name="Save a clip").click()
    await watcher.page.get_by_role("button", name="Statistics").click()
    await watcher.page.locator("#statistics dd").first.wait_for()
    await watcher.page.locator(".cursor").focus()
    await watcher.page.keyboard.press("Home")
    await watcher.page.keyboard.press("Enter")
    await watcher.page.locator("#moment").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_and_every_part_has_a_name(
    service: ServiceProcess, client: Client, scheme: Any
) -> None:
    async with client.session() as other, watching(find_chromium(), service.url, color_scheme=scheme) as watcher:
        await client.watch(other["id"], 1)
        await watcher.page.locator("#gallery li").first.wait_for()
        assert await faint_texts(watcher) == []
        assert await unnamed_parts(watcher) == []
        await open_everything(watcher)
        assert await faint_texts(watcher) == []
        assert await unnamed_parts(watcher) == []
        await watcher.page.keyboard.press("Escape")
        await watcher.page.get_by_role("button", name="End this video").click()
        await watcher.status("^Ended")
        assert await faint_texts(watcher) == []
        assert await unnamed_parts(watcher) == []


async def test_a_phone_shows_all_of_it_without_scrolling_sideways(service: ServiceProcess, client: Client) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    async with client.session() as other, watching(find_chromium(), service.url, **phone) as watcher:
        await client.watch(other["id"], 1)
        await watcher.page.locator("#gallery li").first.wait_for()
        assert await watcher.page.evaluate(SIDEWAYS) == 0
        await open_everything(watcher)
        assert await watcher.page.evaluate(SIDEWAYS) == 0
        screen = await watcher.page.locator("#screen").bounding_box()
        assert screen
        assert screen["width"] >= 320
        await watcher.page.keyboard.press("Escape")
        await watcher.page.get_by_role("button", name="End this video").click()
        await watcher.status("^Ended")
        assert await watcher.page.evaluate(SIDEWAYS) == 0


async def test_a_finger_places_a_prompt(service: ServiceProcess, client: Client) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    async with watching(find_chromium(), service.url, **phone) as watcher:
        await watcher.say(PROMPT)
        await watcher.watch_until(1.0)
        assert watcher.session
        client.tokens[watcher.session] = await watcher.token()
        await watcher.page.locator("#reel").tap(position={"x": 200, "y": 40})
        await watcher.page.locator("#when").wait_for()
        await client.end(watcher.session)


async def test_who_wants_no_motion_gets_none_but_the_video(service: ServiceProcess) -> None:
    async with watching(find_chromium(), service.url, reduced_motion="reduce") as watcher:
        await watcher.say(PROMPT)
        await watcher.watch_until(0.5)
        moving = "document.getAnimations().length"
        assert await watcher.page.evaluate(moving) == 0
        await watcher.page.get_by_role("button", name="End this video").click()
        await watcher.status("^Ended")


async def test_everything_new_is_reached_without_a_mouse(watcher: Watcher) -> None:
    page = watcher.page
    await watcher.tab_to("#record")
    await page.keyboard.press("Space")
    assert not await page.is_checked("#record")
    await page.locator("#prompt").focus()
    await watcher.say(PROMPT)
    await watcher.watch_until(0.5)
    await watcher.tab_to("#mode")
    await page.keyboard.type("cuts")
    assert await page.input_value("#mode") == "cut"
    await watcher.tab_to("#pause")
    await page.keyboard.press("Enter")
    await watcher.status("^Paused")
    assert await page.evaluate("document.activeElement.id") == "pause"
    await page.keyboard.press("Enter")
    await watcher.status("^Live")
    for button, opened in (("#clip-toggle", "#clip"), ("#statistics-toggle", "#statistics")):
        await watcher.tab_to(button)
        await page.keyboard.press("Enter")
        assert await page.locator(opened).is_visible()
    await watcher.tab_to("#whole")
    await page.keyboard.press("Enter")
    assert await page.get_attribute("#whole", "aria-pressed") == "true"
