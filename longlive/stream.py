"""An endless stream of frames, which can be taken down in one process and go on in another."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from longlive.errors import InputError, SnapshotError
from longlive.model import VideoModel
from longlive.snapshot import Snapshot, TakenParts
from longlive.switch import SwitchMode, SwitchName

WARMUP_LATENTS = 6
"""With so many the tiny model's next pictures are within 50 dB of those that were to come, and with nine or twelve no
more than half a dB nearer: the rest is of the keys and values. Somebody may be waiting for the first picture."""


class VideoStream:
    """One endless video, as frames; a new prompt may come between chunks. Streams on a model do not affect each other.

    `prompt` and the prompts of later switches are embeddings [1, L, text_dim] from `Model.encode`. With a `history` the
    stream remembers so many of its newest chunks for `rewind`.
    """

    def __init__(self, model: VideoModel, prompt: Tensor, seed: int, *, history: int = 0) -> None:
        self._model = model
        self._past: deque[Snapshot] = deque(maxlen=history)
        self._taken = TakenParts()
        self._rollout = model.rollout(prompt, seed)
        self._decoder = model.decoder_state()
        self._torn = False

    @classmethod
    def restore(
        cls, model: VideoModel, snapshot: Snapshot, *, history: int = 0, warmup_latents: int = WARMUP_LATENTS
    ) -> VideoStream:
        """The stream that the snapshot was taken of, with the same next chunk and frame.

        It goes on without a cut, but not bit by bit as it would have: see `Rollout.restore`. The decoder starts from
        the last `warmup_latents` latents that the snapshot holds, or from all if these are the whole video. Raises
        SnapshotError for another model's snapshot.
        """
        if snapshot.head.model != model.identity:
            raise SnapshotError(
                "the snapshot is of another model (other weights, or another roll-out); go on with the one it is of"
            )
        stream = cls(model, snapshot.parts[snapshot.head.prompt], snapshot.head.seed, history=history)
        stream._resume(snapshot, warmup_latents)
        return stream

    @property
    def chunk(self) -> int:
        """Number of the next chunk: how many there are so far."""
        return self._rollout.chunk

    @property
    def frame(self) -> int:
        """Number of the first frame of the next chunk: how many there are so far."""
        return self._model.config.first_frame(self.chunk)

    def next_frames(self) -> Tensor:
        """The frames of the next chunk, uint8 RGB [T, height, width, 3] on the CPU.

        Raises InputError at the end of the model's positions, as `Rollout.next_chunk` does; after any other error the
        stream can only be rewound, or restored from a snapshot.
        """
        self._require_whole()
        before = self.snapshot() if self._past.maxlen else None
        try:
            pixels = self._model.decode(self._rollout.next_chunk(), self._decoder)[0]
        except InputError:
            raise
        except BaseException:
            self._torn = True
            raise
        finally:
            if before and (self._broken or self._rollout.chunk > before.head.chunk):
                self._past.append(before)
        return pixels.float().add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()

    def switch(self, prompt: Tensor, mode: SwitchMode | SwitchName = "recache") -> None:
        """Follow another prompt from the next chunk on; modes and errors are those of `Rollout.switch`."""
        self._rollout.switch(prompt, mode)

    def snapshot(self) -> Snapshot:
        """What `restore` goes on from. What it shares with the one before is neither read nor kept twice."""
        self._require_whole()
        model = self._model
        size = model.config.rollout.chunk_frames
        return Snapshot.take(model.identity, self._rollout.state(), size, model.dtype, self._taken)

    def fork(self, seed: int | None = None) -> VideoStream:
        """Another stream with the same past and history; without a `seed` it goes on with the same noise."""
        snapshot = self.snapshot()
        stream = VideoStream.restore(
            self._model, snapshot if seed is None else snapshot.fork(seed), history=self._past.maxlen or 0
        )
        stream._past.extend(past if seed is None else past.fork(seed) for past in self._past)
        return stream

    def rewind(self, frame: int) -> int:
        """Go back to the chunk that holds `frame`, as it was before it; the number of the next frame is returned.

        The prompt is the one of that time. Raises InputError for a frame to come, and for one that is forgotten.
        """
        first_frame = self._model.config.first_frame
        if frame == self.frame and not self._broken:
            return frame
        if frame > self.frame:
            raise InputError(f"frame {frame} is not in the video yet; give one up to {self.frame}")
        earlier = [past for past in self._past if first_frame(past.head.chunk) <= frame]
        if not earlier:
            known = f"from frame {first_frame(self._past[0].head.chunk)} on" if self._past else "nothing"
            raise InputError(f"frame {frame} is forgotten: the stream remembers {known}; give it a longer history")
        self._resume(earlier[-1], WARMUP_LATENTS)
        self._past = deque(earlier[:-1], self._past.maxlen)
        return self.frame

    def _resume(self, snapshot: Snapshot, warmup_latents: int) -> None:
        model, state = self._model, snapshot.state()
        self._torn = True
        self._rollout.restore(state)
        held, size = state.latents.shape[1], model.config.rollout.chunk_frames
        self._taken = TakenParts.of(snapshot, size)
        whole = held == self._rollout.frames  # then nothing need be approximate
        start = 0 if whole else max(0, held - warmup_latents)
        self._decoder.restart(self._rollout.frames - held + start)
        for first in range(start, held, size):  # in as little memory as any chunk
            latents = state.latents[:, first : min(first + size, held)].to(model.device)
            model.decode(latents, self._decoder)
        self._torn = False

    @property
    def _broken(self) -> bool:
        return self._torn or self._rollout.torn

    def _require_whole(self) -> None:
        if self._broken:
            raise RuntimeError("this stream failed in the middle of a chunk; rewind it, or restore it from a snapshot")
