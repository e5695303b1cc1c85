"""Take the pictures of the page that the README shows: starts the service, plays a small story for each, ends it.

python tests/deployments/screenshot.py docs
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from browser import SPAN_SECONDS, Watcher, open_tab, watching
from service_process import ServiceProcess

BETWEEN_SECONDS = 6.0
FORK_BACK_SECONDS = 4.0
WRITTEN = "(typed) => { const box = document.getElementById('prompt'); return !box.ariaBusy && box.value !== typed; }"


@dataclass(frozen=True)
class Picture:
    """A window of a browser, the scene that is begun, and what is said of it one after the other, in a few words each.

    `later` is asked for in the time to come, `written` is written out in the box, and `open` is opened. With `fork`: it
    is forked `FORK_BACK_SECONDS` before its newest picture and the fork hears that; the picture is of that fork, and of
    the menu that makes one.
    """

    name: str
    width: int
    height: int
    scene: str
    said: Sequence[str]
    later: str = ""
    written: str = ""
    fork: str = ""
    scheme: str = "light"
    open: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)


PICTURES = (
    Picture(
        "page.png",
        1280,
        840,
        "a yellow ball moves right in the meadow by day in clear weather",
        ("the sun goes down", "let it snow"),
        later="take it to the city",
    ),
    Picture(
        "page-dark.png",
        1280,
        1110,
        "a cyan donut moves right in the city at night in clear weather",
        ("make it snow", "paint it pink"),
        written="take it to the sea",
        scheme="dark",
        open=("Statistics",),
    ),
    Picture(
        "page-phone.png",
        390,
        844,
        "a yellow pyramid stands still in the desert at sunset in clear weather",
        ("paint it green",),
        later="night falls",
        options={"is_mobile": True, "has_touch": True},
    ),
    Picture(
        "page-fork.png",
        1280,
        840,
        "a blue cube moves right in the desert by day in clear weather",
        ("the sun goes down",),
        fork="take it to the city",
    ),
)


async def play(watcher: Watcher, picture: Picture) -> None:
    """Each prompt takes effect while the one before it can be seen on the time line."""
    for number, text in enumerate((picture.scene, *picture.said)):
        await watcher.say(text)
        if number == 0:
            await watcher.status("Live")
        await watcher.sees("#prompts li[data-current] q", text)
        await watcher.watch_on(BETWEEN_SECONDS)
    if picture.fork:
        await fork(watcher, picture.fork)
    if picture.later:
        await watcher.page.locator(".cursor").focus()
        for key in ("PageUp", "PageUp", "ArrowLeft", "Enter"):
            await watcher.page.keyboard.press(key)
        await watcher.say(picture.later)
        await watcher.sees("#prompts li[data-state=scheduled] q", picture.later)
    if picture.written:
        await watcher.page.keyboard.type(picture.written)
        await watcher.page.get_by_role("button", name="Write it out").click()
        await watcher.page.wait_for_function(WRITTEN, arg=picture.written)
    for name in picture.open:
        await watcher.page.get_by_role("button", name=name).click()


async def fork(watcher: Watcher, text: str) -> None:
    """What follows in the fork can be seen beside what it shares with the first; the first ends."""
    first = watcher.page.url
    await look_back(watcher, FORK_BACK_SECONDS)
    await watcher.page.get_by_role("button", name="Fork here").click()
    await watcher.page.locator("#origin").wait_for()
    await watcher.watch_on(BETWEEN_SECONDS / 2)
    await watcher.say(text)
    await watcher.sees("#prompts li[data-current] q", text)
    await watcher.watch_on(2 * BETWEEN_SECONDS)
    other = await open_tab(watcher.page.context, first)
    await other.page.get_by_role("button", name="End this video").click()
    await other.status("^Ended")
    await other.page.close()
    await watcher.page.bring_to_front()


async def look_back(watcher: Watcher, seconds: float) -> None:
    """Open the menu at a time that has passed, so long ago."""
    box = await watcher.page.locator("#reel").bounding_box()
    assert box
    scrolled: float = await watcher.page.locator("#reel").evaluate("(reel) => reel.scrollLeft")
    pixels = (await watcher.seconds() - seconds) / SPAN_SECONDS * box["width"] - scrolled
    await watcher.page.mouse.click(box["x"] + pixels, box["y"] + 30)
    await watcher.page.locator("#moment").wait_for()


async def until_in_the_middle(watcher: Watcher, tries: int = 60) -> None:
    """Returns when what the video is about, which is colourful and moves, is not at a side; or gives up."""
    for _ in range(tries):
        picture = (await watcher.pictures(1))[0].float()
        colour = (picture.amax(0) - picture.amin(0)).mean(0)
        if colour[20:44].mean() > 1.4 * colour.mean():
            return


async def take(chromium: str, url: str, folder: Path, picture: Picture) -> None:
    view = {"width": picture.width, "height": picture.height}
    options = {"color_scheme": picture.scheme, "device_scale_factor": 1.5, **picture.options}
    async with watching(chromium, url, viewport=view, **options) as watcher:
        await play(watcher, picture)
        await watcher.watch_on(1.5)
        await watcher.status("^Live")
        await until_in_the_middle(watcher)
        await watcher.status("^Live")
        await watcher.page.evaluate("scrollTo(0, 0)")
        if picture.fork:
            await look_back(watcher, FORK_BACK_SECONDS)
        await watcher.page.screenshot(path=folder / picture.name)
        await watcher.page.keyboard.press("Escape")
        await watcher.page.get_by_role("button", name="End this video").click()
        await watcher.status("^Ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=[picture.name for picture in PICTURES], help="take one of them")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess(Path(folder))
        try:
            service.wait_until_ready()
            for picture in PICTURES:
                if given.only in (None, picture.name):
                    asyncio.run(take(given.chromium, service.url, given.folder, picture))
                    print(given.folder / picture.name)
        finally:
            service.interrupt()


if __name__ == "__main__":
    main()
