"""Take the picture of the page that opens the README, of a service that runs.

    python tests/deployments/screenshot.py http://127.0.0.1:8000 docs/page.png \\
        --prompt "a red ball hops in a meadow by day" --follow-up "it starts to snow"
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from browser import watching

BETWEEN_SECONDS = 5.0


async def take(chromium: str, url: str, out: Path, prompt: str, follow_ups: list[str], scheme: str) -> None:
    view = {"width": 1200, "height": 740}
    async with watching(chromium, url, viewport=view, color_scheme=scheme) as watcher:
        await watcher.say(prompt)
        await watcher.status("Live")
        for text in follow_ups:
            await watcher.watch_on(BETWEEN_SECONDS)
            await watcher.say(text)
            await watcher.sees("#prompts li[data-current] q", text)
        await watcher.watch_on(BETWEEN_SECONDS)
        await watcher.page.screenshot(path=out)
        await watcher.page.get_by_role("button", name="End this video").click()
        await watcher.status("Ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--follow-up", action="append", default=[], help="may be given several times")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    asyncio.run(take(given.chromium, given.url, given.out, given.prompt, given.follow_up, given.scheme))


if __name__ == "__main__":
    main()
