"""Fragments as files and as pictures."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from deployments.fmp4 import TICKS_PER_FRAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def moved(fragment: bytes, frames: int) -> bytes:
    """The fragment at another time: `frames` later, or earlier where it is negative."""
    out = bytearray(fragment)
    time = out.index(b"tfdt") + 8  # behind version and flags
    (ticks,) = struct.unpack_from(">Q", out, time)
    struct.pack_into(">Q", out, time, ticks + frames * TICKS_PER_FRAME)
    return bytes(out)


def decode(init: bytes, fragments: bytes) -> NDArray[np.uint8]:
    """The pictures [T, H, W, 3] of fragments that follow each other, or of one. Raises ImportError without PyAV."""
    try:
        import av
        import numpy as np
    except ImportError as error:
        raise ImportError("frames need PyAV and numpy: pip install av numpy") from error
    with av.open(io.BytesIO(init + fragments), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
