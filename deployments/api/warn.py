"""What the model makes nothing of in a prompt, said to who wrote it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from deployments.api.services import Services
from deployments.calls import PartDown

WAIT_SECONDS = 0.5
log = logging.getLogger(__name__)


async def warnings_of(services: Services, texts: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Warnings by text: none where nobody says at once, for a prompt is worth more than what can be said about it."""
    different = list(dict.fromkeys(texts))
    return dict(zip(different, await asyncio.gather(*(_warnings(services, text) for text in different)), strict=True))


async def _warnings(services: Services, text: str) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            unread = await services.unread_words(text)
    except (PartDown, TimeoutError) as error:
        log.warning("no warnings: %s", error or "no answer in time")
        return ()
    told = [f"The model does not know the word {word!r} and pays it no attention." for word in unread.unknown]
    if unread.cut:
        told.append(f"The prompt is too long for the model, which does not read its end: {' '.join(unread.cut)!r}.")
    return tuple(told)
