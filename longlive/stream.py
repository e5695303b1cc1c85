"""An endless stream of frames."""

from __future__ import annotations

import torch
from torch import Tensor

from longlive.model import VideoModel
from longlive.rollout import SwitchMode


class VideoStream:
    """One endless video, as frames; a new prompt may come between chunks. Streams on a model do not affect each other.

    `prompt` and the prompts of later switches are embeddings [1, L, text_dim] from `Model.encode`.
    """

    def __init__(self, model: VideoModel, prompt: Tensor, seed: int) -> None:
        self._model = model
        self._rollout = model.rollout(prompt, seed)
        self._decoder = model.decoder_state()
        self.frame = 0
        """Number of the first frame of the next chunk: how many there are so far."""

    @property
    def chunk(self) -> int:
        """Number of the next chunk: how many there are so far."""
        return self._rollout.chunk

    def next_frames(self) -> Tensor:
        """The frames of the next chunk, uint8 RGB [T, height, width, 3] on the CPU."""
        pixels = self._model.decode(self._rollout.next_chunk(), self._decoder)[0]
        frames = pixels.float().add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
        self.frame += len(frames)
        return frames

    def switch(self, prompt: Tensor, mode: SwitchMode = "recache") -> None:
        """Follow another prompt from the next chunk on; the modes are those of `Rollout.switch`."""
        self._rollout.switch(prompt, mode)
