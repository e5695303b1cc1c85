"""The page in a real browser, in the words of somebody who uses it."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import torch
from playwright.async_api import BrowserContext, Page, async_playwright
from torch import Tensor

# A browser that stands alone: no display, no sandbox (tests may run as root), no calls of its own.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SPAN_SECONDS = 40  # of video in view on the time line, until somebody zooms
GRAB = """async ([count, width, height]) => {
    const video = document.querySelector("video");
    const canvas = Object.assign(document.createElement("canvas"), {width, height});
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const pictures = [];
    while (pictures.length < count) {
        await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
        context.drawImage(video, 0, 0, width, height);
        pictures.push(btoa(String.fromCharCode(...context.getImageData(0, 0, width, height).data)));
    }
    return pictures;
}"""


class Watcher:
    """Somebody at the page: types, reads, watches. Waits end with a TimeoutError of playwright's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    @property
    def session(self) -> str | None:
        """The id in the address."""
        found = re.search(r"session=(\w+)", self.page.url)
        return found.group(1) if found else None

    async def say(self, text: str) -> None:
        """Type a prompt and press Enter. The box has the focus by itself."""
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    async def seconds(self) -> float:
        """Media time of the picture."""
        return await self.page.evaluate("document.querySelector('video').currentTime")

    async def watch_until(self, seconds: float) -> None:
        """Watch until media time is there."""
        await self.page.wait_for_function("(t) => document.querySelector('video').currentTime >= t", arg=seconds)

    async def watch_on(self, seconds: float) -> None:
        await self.watch_until(await self.seconds() + seconds)

    async def status(self, pattern: str) -> None:
        """Wait until the status line matches."""
        await self.page.wait_for_function(
            "(pattern) => document.getElementById('status').textContent.match(pattern)", arg=pattern
        )

    async def sees(self, selector: str, text: str) -> None:
        """Wait until an element that matches holds this text."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for()

    async def prompts(self) -> list[str]:
        """Prompts in the list, oldest first."""
        return (await self.page.locator("#prompts q").all_inner_texts())[::-1]

    async def token(self) -> str:
        """What lets this browser steer its session."""
        return await self.page.evaluate(
            "(id) => JSON.parse(localStorage[`longlive.control.${id}`]).token", self.session
        )

    async def marker_seconds(self, text: str) -> float:
        """Media time at which a prompt begins on the time line."""
        marker = self.page.locator(".segment").filter(has_text=text)
        pixels = await marker.evaluate("(s) => parseFloat(s.style.left) / document.getElementById('reel').clientWidth")
        return pixels * SPAN_SECONDS

    async def tab_to(self, selector: str, most: int = 60) -> None:
        """Press Tab until an element that matches has the focus."""
        for _ in range(most):
            if await self.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab never came to {selector}")

    async def statistic(self, name: str) -> str:
        """A number of the statistics, which are open."""
        line = self.page.locator("#statistics div").filter(has_text=name)
        return await line.locator("dd").inner_text()

    async def pictures(self, count: int, width: int = 64, height: int = 64) -> Tensor:
        """The next pictures of the video as it is shown: uint8 [count, 3, height, width]."""
        encoded: list[str] = await self.page.evaluate(GRAB, [count, width, height])
        pixels = [torch.frombuffer(bytearray(base64.b64decode(one)), dtype=torch.uint8) for one in encoded]
        return torch.stack(pixels).view(count, height, width, 4)[..., :3].permute(0, 3, 1, 2).contiguous()


async def open_tab(context: BrowserContext, url: str) -> Watcher:
    """Another tab of a browser that is open."""
    page = await context.new_page()
    page.set_default_timeout(60_000)
    watcher = Watcher(page)
    await page.goto(url)
    return watcher


@asynccontextmanager
async def browsing(chromium: str, **context: Any) -> AsyncIterator[BrowserContext]:
    """A fresh browser without a tab; `context` as for `Browser.new_context`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            yield await browser.new_context(**context)
        finally:
            await browser.close()


@asynccontextmanager
async def watching(chromium: str, url: str, **context: Any) -> AsyncIterator[Watcher]:
    """A fresh browser at `url`; `context` as for `Browser.new_context`."""
    async with browsing(chromium, **context) as browser:
        yield await open_tab(browser, url)
