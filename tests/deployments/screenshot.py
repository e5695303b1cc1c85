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

from browser import Watcher, watching
from service_process import ServiceProcess

BETWEEN_SECONDS = 6.0


@dataclass(frozen=True)
class Picture:
    """A window of a browser, what is typed into it, what is asked for in the time to come, and what is opened."""

    name: str
    width: int
    height: int
    prompts: Sequence[str]
    later: str
    scheme: str = "light"
    open: Sequence[str] = ()
    options: dict[str, Any] = field(default_factory=dict)


PICTURES = (
    Picture(
        "page.png",
        1280,
        840,
        (
            "a red ball moves right in the meadow by day in clear weather",
            "a yellow ball moves right in the meadow at sunset in clear weather",
            "a yellow ball moves right in the city at sunset in clear weather",
        ),
        "a yellow ball moves right in the city at night in the snow",
    ),
    Picture(
        "page-dark.png",
        1280,
        1110,
        (
            "a cyan donut moves right in the city at night in clear weather",
            "a cyan donut moves right in the city at night in the snow",
        ),
        "a pink donut moves right on the sea at sunset in clear weather",
        scheme="dark",
        open=("Statistics",),
    ),
    Picture(
        "page-phone.png",
        390,
        844,
        (
            "a yellow pyramid stands still in the desert at sunset under a clear sky",
            "a green pyramid stands still in the desert at sunset under a clear sky",
        ),
        "a green pyramid stands still in the desert at night in the snow",
        options={"is_mobile": True, "has_touch": True},
    ),
)


async def play(watcher: Watcher, picture: Picture) -> None:
    """Each prompt takes effect while the one before it can be seen on the time line."""
    for number, text in enumerate(picture.prompts):
        await watcher.say(text)
        if number == 0:
            await watcher.status("Live")
        await watcher.sees("#prompts li[data-current] q", text)
        await watcher.watch_on(BETWEEN_SECONDS)
    await watcher.page.locator(".cursor").focus()
    for key in ("PageUp", "PageUp", "ArrowLeft", "Enter"):
        await watcher.page.keyboard.press(key)
    await watcher.say(picture.later)
    await watcher.sees("#prompts li[data-state=scheduled] q", picture.later)
    for name in picture.open:
        await watcher.page.get_by_role("button", name=name).click()


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
        await watcher.page.evaluate("scrollTo(0, 0)")
        await watcher.page.screenshot(path=folder / picture.name)
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
