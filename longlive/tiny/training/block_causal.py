"""Teacher forcing as a self-attention memory: every chunk of a clip, clean and noised, in one forward.

A sequence is clean chunks, then noised copies of chunks. A chunk, clean or noised, attends to itself and to the clean
chunks that the service's window would still hold. Before a switch the clean chunks attend to each other in both
directions, as a KV recache computes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.attention import attend
from longlive.config import RolloutConfig
from longlive.rope import RotaryTable, rotate

# What is trained for and served: LongLive's chunk, window and sink (one chunk), positions without an end.
ROLLOUT = RolloutConfig(positions="relative")
CHUNK = ROLLOUT.chunk_frames
WINDOW_CHUNKS = ROLLOUT.window_frames // CHUNK  # sink included, and the chunk itself


@dataclass(frozen=True, slots=True)
class Pattern:
    """`clean` context chunks, the first `recached` of them bidirectional, then noised `copies` of `first`..`last`."""

    clean: int
    recached: int
    first: int
    last: int
    copies: int

    def chunks(self) -> list[int]:
        """Index in the clip of every chunk of the sequence."""
        return [*range(self.clean), *(i for _ in range(self.copies) for i in range(self.first, self.last + 1))]


class BlockCausalMemory:
    """`SelfAttentionMemory` of one pattern; positions are those that a relative window gives."""

    def __init__(self, pattern: Pattern, table: RotaryTable) -> None:
        self.pattern = pattern
        frames = torch.cat([torch.arange(CHUNK) + CHUNK * i for i in pattern.chunks()])
        self._rotation = table.at(frames)
        # Past the window the sink moves along, so that it stays a window's length behind the newest chunk.
        self._moved = {
            i: table.at(torch.arange(CHUNK) + CHUNK * (i + 1 - WINDOW_CHUNKS))
            for i in range(WINDOW_CHUNKS, pattern.last + 1)
        }

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        pattern = self.pattern
        plain_keys = k.unflatten(1, (-1, CHUNK)).unbind(1)
        queries = rotate(q, *self._rotation).unflatten(1, (-1, CHUNK)).unbind(1)
        keys = rotate(k, *self._rotation).unflatten(1, (-1, CHUNK)).unbind(1)
        values = v.unflatten(1, (-1, CHUNK)).unbind(1)
        out: list[Tensor] = [q] * len(queries)
        if pattern.recached:
            n = pattern.recached
            mixed = _attention(torch.cat(queries[:n], 1), torch.cat(keys[:n], 1), torch.cat(values[:n], 1))
            out[:n] = mixed.unflatten(1, (-1, CHUNK)).unbind(1)
        for i in range(min(pattern.recached, pattern.first), max(pattern.clean, pattern.last + 1)):
            members = [i] if pattern.recached <= i < pattern.clean else []
            if pattern.first <= i <= pattern.last:
                span = pattern.last + 1 - pattern.first
                members += [pattern.clean + c * span + i - pattern.first for c in range(pattern.copies)]
            if not members:
                continue
            past = [j for j in range(i) if j == 0 or j > i - WINDOW_CHUNKS + 1]
            past_keys = [
                rotate(plain_keys[j], *self._moved[i]) if j == 0 and i in self._moved else keys[j] for j in past
            ]
            copies = len(members)
            own_k = torch.cat([keys[m] for m in members])
            own_v = torch.cat([values[m] for m in members])
            if past:
                context_k = torch.cat(past_keys, 1).repeat(copies, 1, 1, 1, 1)
                context_v = torch.cat([values[j] for j in past], 1).repeat(copies, 1, 1, 1, 1)
                own_k, own_v = torch.cat((context_k, own_k), 1), torch.cat((context_v, own_v), 1)
            mixed = _attention(torch.cat([queries[m] for m in members]), own_k, own_v)
            for m, part in zip(members, mixed.chunk(copies), strict=True):
                out[m] = part
        return torch.cat(out, 1)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)).reshape(q.shape)
