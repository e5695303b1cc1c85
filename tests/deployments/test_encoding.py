"""Who encodes: a replica of the video encoder, or the generator itself while there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError

from deployments import encoding
from deployments.encoding import VideoEncoding
from deployments.images import thumbnail
from deployments.video_config import InitSegment, VideoConfig
from deployments.video_encoder import encode_chunk, init_segment

CONFIG = VideoConfig(width=64, height=48, fps=8)
FRAMES = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
ELSEWHERE = b"encoded by a replica"


class Replica:
    """A video encoder's replica: answers, dies or is silent."""

    def __init__(self) -> None:
        self.calls = 0
        self.does: BaseException | str | None = None

    async def _answer(self, answer: Any) -> Any:
        self.calls += 1
        if self.does == "is silent":
            await asyncio.Event().wait()
        if isinstance(self.does, BaseException):
            raise self.does
        return answer

    async def encode(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        return await self._answer(ELSEWHERE)

    async def init(self, config: VideoConfig) -> InitSegment:
        return await self._answer(InitSegment(ELSEWHERE, "avc1", "hash"))

    async def thumbnail(self, pixels: NDArray[np.uint8]) -> bytes:
        return await self._answer(ELSEWHERE)


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.fixture
def encoder(replica: Replica) -> VideoEncoding:
    return VideoEncoding(replica.encode, replica.init, replica.thumbnail)


async def all_of(encoder: VideoEncoding) -> list[bytes]:
    return [await encoder.encode(CONFIG, FRAMES, 3, 9), await encoder.init(CONFIG), await encoder.thumbnail(FRAMES[0])]


def encoded_here() -> list[bytes]:
    return [encode_chunk(CONFIG, FRAMES, chunk=3, first_frame=9), init_segment(CONFIG).data, thumbnail(FRAMES[0])]


async def test_a_replica_encodes(encoder: VideoEncoding, replica: Replica) -> None:
    assert await all_of(encoder) == [ELSEWHERE] * 3
    assert replica.calls == 3


@pytest.mark.parametrize("does", [ActorDiedError(), "is silent"])
async def test_while_none_answers_the_same_bytes_are_made_here(
    encoder: VideoEncoding, replica: Replica, does: BaseException | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(encoding, "AWAY_SECONDS", 3600.0)
    replica.does = does
    assert await all_of(encoder) == encoded_here()
    assert replica.calls == 1  # what is known to be away is not waited for again


async def test_a_replica_that_is_back_encodes_again(
    encoder: VideoEncoding, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "AWAY_SECONDS", 0.0)
    replica.does = ActorDiedError()
    assert await all_of(encoder) == encoded_here()
    replica.does = None
    assert await all_of(encoder) == [ELSEWHERE] * 3


async def test_what_cannot_be_encoded_is_said_and_not_tried_here(encoder: VideoEncoding, replica: Replica) -> None:
    replica.does = ValueError("frames must be uint8")
    with pytest.raises(ValueError, match="must be uint8"):
        await encoder.encode(CONFIG, FRAMES, 0, 0)
