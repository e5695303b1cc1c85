"""The keys and values of one session: a window of latent frames, written in place (reference sheet, section 4).

The window is a list of *slots* in time order; the first `sink` of them stay for good, the others form a ring. Moving
the window moves numbers in a list on the host, never keys or values. A pass is prepared by `begin`, which puts its
slots and positions in tensors; `attend` then only computes, so that it never waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.attention import attend
from longlive.config import Positions
from longlive.rope import RotaryTable, rotate
from longlive.upload import upload


@dataclass(frozen=True)
class _Pass:
    """One prepared pass. `write` are ring slots of its last frames (none: nothing is stored)."""

    key: tuple[object, ...]
    write: Tensor | None
    query_rotation: tuple[Tensor, Tensor]
    gather: Tensor | None  # ring slots in attended order; none: the first `attended` slots as they lie
    attended: int
    key_rotation: Tensor | None  # complex, for keys stored unrotated
    past: tuple[int, ...]  # ring slots, in time order, of what is attended besides the pass's own frames


class KVCache:
    """A `SelfAttentionMemory` that remembers. `absolute` positions store rotated keys and count frames of the video,
    from `offset` on; `relative` ones store plain keys and count attended slots, so that they never grow.
    """

    def __init__(
        self,
        *,
        layers: int,
        batch: int,
        frames: int,
        sink: int,
        heads: int,
        rotary: RotaryTable,
        positions: Positions,
        dtype: torch.dtype,
    ) -> None:
        device = rotary.device
        shape = (batch, frames, rotary.tokens, heads, rotary.head_dim)
        self.capacity, self.sink = frames, sink
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.fill = 0  # slots in use
        self.end = 0  # latent frames of the video seen
        self.offset = 0  # the frame whose absolute position is 0
        self.origin = 0  # frame in slot 0 when the cache was last empty
        self._order = list(range(frames))  # time order -> ring slot
        self._rotary = rotary
        self._relative = positions == "relative"
        self._pass: _Pass | None = None
        self._scratch: dict[str, Tensor] = {}

    def begin(
        self,
        frames: range,
        *,
        store: bool = True,
        past: int | None = None,
        sink: bool = True,
        keep_sink: bool = True,
    ) -> None:
        """Prepare a pass over `frames`: the next ones of the video, or (a rewrite) the last ones stored.

        The pass attends to itself, to the sink unless `sink` is false, and to the last `past` stored frames before it
        (none: all). It overwrites no sink slot when it is a rewrite that starts later than the cache does, unless
        `keep_sink` is false. With `store` false its keys and values are forgotten after it.
        Raises ValueError when the frames neither continue nor end the video seen so far, or do not fit.
        """
        count = len(frames)
        write: list[int] = []
        if store:
            rewrite = frames.stop == self.end and count <= self.fill
            if not rewrite:
                self._advance(frames)
            first = self.fill - count
            kept = max(self.sink - first, 0) if rewrite and keep_sink and frames.start > self.origin else 0
            write = self._order[min(first + kept, self.fill) : self.fill]
            before = first
        else:
            before = self.fill
        head = min(self.sink, before)
        tail = range(head if past is None else max(head, before - past), before)
        attended = [*(self._order[:head] if sink else ()), *(self._order[i] for i in tail)]
        attended += self._order[before : self.fill]
        self._prepare(frames, write, attended, stored=store)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `SelfAttentionMemory`; belongs to the pass last begun."""
        step = self._pass
        assert step is not None, "begin() comes before attend()"
        q = rotate(q, *step.query_rotation)
        if not self._relative:
            k = rotate(k, *step.query_rotation)
        keys, values = self.keys[layer], self.values[layer]
        if step.write is not None:
            written = len(step.write)
            keys.index_copy_(1, step.write, k[:, -written:])
            values.index_copy_(1, step.write, v[:, -written:])
        if step.gather is not None:
            keys = self._gather(step.gather, keys, k, self._scratch["keys"])
            values = self._gather(step.gather, values, v, self._scratch["values"])
        keys, values = keys[:, : step.attended], values[:, : step.attended]
        if step.key_rotation is not None:
            keys = self._rotated(keys, step.key_rotation)
        return attend(q.flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2)).view_as(q)

    def context(self) -> KVContext:
        """What the pass last begun attends to besides its own frames, copied: later passes do not change it."""
        step = self._pass
        assert step is not None, "begin() comes before context()"
        slots = upload(torch.tensor(step.past, dtype=torch.long), self._rotary.device)
        keys = [ring.index_select(1, slots) for ring in self.keys]
        if self._relative and step.past:
            rotation = self._rotary.at(torch.arange(len(step.past)))
            keys = [rotate(each, *rotation) for each in keys]
        return KVContext(keys, [ring.index_select(1, slots) for ring in self.values], step.query_rotation)

    def rewritable(self, *, keep_sink: bool) -> range:
        """The frames that a rewrite of the whole window can change; the sink is kept once frames have left."""
        kept = min(self.sink, self.fill) if keep_sink and self.end - self.fill > self.origin else 0
        return range(self.end - self.fill + kept, self.end)

    def clear(self) -> None:
        """Forget everything but the time: the next frames fill empty slots and become the new sink."""
        self.restart(self.end)

    def restart(self, origin: int) -> None:
        """Forget everything, to be filled anew with what remains of a video that began in slot 0 with `origin`."""
        self.fill, self.origin, self._pass = 0, origin, None
        self._order = list(range(self.capacity))  # what follows does not depend on what was there

    def skip_to(self, frame: int, offset: int) -> None:
        """Go on with `frame`, although the frames before it may be missing, and count positions from `offset` on."""
        self.end, self.offset, self._pass = frame, offset, None

    def ordered(self, layer: int) -> tuple[Tensor, Tensor]:
        """Copies of a layer's keys and values [B, frames, S, heads, head_dim] in time order; unused slots are zero."""
        order = torch.tensor(self._order, device=self.keys[layer].device)
        keys, values = self.keys[layer][:, order], self.values[layer][:, order]
        keys[:, self.fill :], values[:, self.fill :] = 0, 0
        return keys, values

    def _advance(self, frames: range) -> None:
        """Make room for new frames: the oldest ones behind the sink leave, and theirs are the newest slots now."""
        count = len(frames)
        if frames.start != self.end:
            raise ValueError(f"frames {frames.start}..{frames.stop - 1} do not follow the {self.end} seen so far")
        evicted = max(self.fill + count - self.capacity, 0)
        if evicted and self.fill - evicted < self.sink:
            raise ValueError(f"{count} frames do not fit beside a sink of {self.sink} in {self.capacity} slots")
        order, sink = self._order, self.sink
        self._order = order[:sink] + order[sink + evicted :] + order[sink : sink + evicted] if evicted else order
        self.fill += count - evicted
        self.end = frames.stop

    def _prepare(self, frames: range, write: list[int], attended: list[int], *, stored: bool) -> None:
        whole = stored and sorted(attended) == list(range(len(attended)))
        key = (frames, tuple(write), tuple(attended), stored)
        if self._pass is not None and self._pass.key == key:
            return
        device = self._rotary.device
        total = len(attended) + (0 if stored else len(frames))
        positions = torch.arange(total)
        if self._relative:
            query_positions = positions[total - len(frames) :]
            if whole:  # slots are read as they lie, so each needs the position of its place in time
                positions = torch.tensor(attended).argsort()
        else:
            query_positions = torch.arange(frames.start - self.offset, frames.stop - self.offset)
        self._reserve(total, gather=not whole)
        self._pass = _Pass(
            key=key,
            write=upload(torch.tensor(write), device) if write else None,
            query_rotation=self._rotary.at(query_positions),
            gather=None if whole else upload(torch.tensor(attended, dtype=torch.long), device),
            attended=total,
            key_rotation=torch.complex(*self._rotary.at(positions)) if self._relative else None,
            past=tuple(attended[: total - len(frames)]),
        )

    def _reserve(self, frames: int, *, gather: bool) -> None:
        """Scratch that all layers share. It grows while the window fills and then stays."""
        batch, _, *token = self.keys[0].shape
        for name, dtype, needed in (
            ("keys", self.keys[0].dtype, gather or self._relative),
            ("values", self.values[0].dtype, gather),
            ("wide", torch.float32, self._relative),
        ):
            if needed and (name not in self._scratch or self._scratch[name].shape[1] < frames):
                size = (batch, max(frames, self.capacity), *token)
                self._scratch[name] = torch.empty(size, dtype=dtype, device=self.keys[0].device)

    def _gather(self, slots: Tensor, ring: Tensor, own: Tensor, scratch: Tensor) -> Tensor:
        """The attended slots, then the pass's own frames where they are not among them."""
        stored, total = len(slots), self._pass.attended if self._pass else 0
        torch.index_select(ring, 1, slots, out=scratch[:, :stored])
        scratch[:, stored:total] = own[:, : total - stored]
        return scratch

    def _rotated(self, keys: Tensor, rotation: Tensor) -> Tensor:
        wide = self._scratch["wide"][:, : keys.shape[1]]
        wide.copy_(keys)
        torch.view_as_complex(wide.unflatten(-1, (-1, 2))).mul_(rotation)
        if keys.dtype == torch.float32:
            return wide
        return self._scratch["keys"][:, : keys.shape[1]].copy_(wide)


class KVContext:
    """A `SelfAttentionMemory` of one pass: what its cache held before it, as constants, and its own keys and values.

    It computes what the cache does, but writes nothing, so gradients flow through the pass, and it can be recomputed.
    """

    def __init__(self, keys: Sequence[Tensor], values: Sequence[Tensor], rotation: tuple[Tensor, Tensor]) -> None:
        """`keys` (rotated) and `values` of each layer [B, frames, S, heads, head_dim]; `rotation` of the own frames."""
        self._keys, self._values, self._rotation = keys, values, rotation

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `SelfAttentionMemory`."""
        keys = torch.cat((self._keys[layer], rotate(k, *self._rotation)), dim=1)
        values = torch.cat((self._values[layer], v), dim=1)
        q = rotate(q, *self._rotation)
        return attend(q.flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2)).view_as(q)
