"""What decides how a session's video is encoded, and what a player needs first. Plain data: no codec is imported."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class VideoConfig(BaseModel):
    """What decides an init segment. Equal configurations give byte-equal init segments in every process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0, multiple_of=16)
    height: int = Field(gt=0, multiple_of=16)
    fps: int = Field(gt=0)
    crf: int = Field(default=18, ge=0, le=51)

    @property
    def hash(self) -> str:
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class InitSegment:
    """ftyp + moov, the codec's RFC 6381 name, and the hash of the configuration it belongs to."""

    data: bytes
    codec: str
    config_hash: str

    @property
    def media_type(self) -> str:
        """What tells a player the codec, MSE's above all."""
        return f'video/mp4; codecs="{self.codec}"'
