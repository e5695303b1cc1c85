"""A roll-out as bytes, small enough to be stored after every chunk, and made of parts that are stored once.

A part is the latents of a chunk or of the sink, or the embeddings of a prompt; it is named by the digest of what it
holds. The head names the parts, so that the next snapshot of a video adds one chunk's latents and a new head.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from longlive.config import SinkPolicy
from longlive.errors import SnapshotError
from longlive.rollout_state import CleanPass, Coming, RolloutState, Sink
from longlive.switch import MemoryAction

MAGIC = b"LONGLIVE"
VERSION = 1
DIGEST_BYTES = 16


@dataclass(frozen=True)
class SinkHead:
    part: str
    first: int
    position: int
    exact: bool


@dataclass(frozen=True)
class PassHead:
    first: int
    frames: int
    prompt: str


@dataclass(frozen=True)
class ComingHead:
    chunk: int
    old: str
    new: str
    share: float
    memory: MemoryAction
    sink: SinkPolicy | None


@dataclass(frozen=True)
class Head:
    """Everything but tensors. `part` and `prompt` are names of parts; frames are latent frames."""

    model: str
    policy: str
    seed: int
    chunk: int
    prompt: str
    latents: tuple[str, ...]
    sink: SinkHead | None
    passes: tuple[PassHead, ...]
    coming: tuple[ComingHead, ...]
    origin: int
    offset: int


@dataclass(frozen=True)
class Snapshot:
    """A roll-out between two chunks, on the CPU, with latents in the number format that the model reads them in.

    A roll-out that is restored from it goes on without a cut, but not bit by bit as the original would have. Where
    `head.sink.exact` is false, the keys and values of the sink are approximate too (see `Sink`). It takes up what the
    latents of the window and of the sink do: at most 3 MiB for LongLive-1.3B (15 latent frames of 480x832 in bfloat16),
    prompts not included.
    """

    head: Head
    parts: Mapping[str, Tensor]

    @staticmethod
    def take(
        model: str, state: RolloutState, chunk_frames: int, dtype: torch.dtype, taken: TakenParts | None = None
    ) -> Snapshot:
        """Of a roll-out of the model with this identity. What was `taken` of it before is shared and not read again."""
        taken = TakenParts() if taken is None else taken
        parts: dict[str, Tensor] = {}
        chunks: dict[range, str] = {}
        sources: dict[int, tuple[Tensor, str]] = {}

        def add(tensor: Tensor) -> str:
            tensor = tensor.detach().cpu().contiguous()
            name = _digest(tensor)
            if name not in parts:
                # A copy, or it would keep alive, and be written with, all that it is a view of.
                parts[name] = taken.parts[name] if name in taken.parts else tensor.clone()
            return name

        def to_dtype(latents: Tensor) -> Tensor:
            return latents.to(dtype)

        def piece(frames: range) -> str:
            name = taken.chunks.get(frames)
            if name is not None and taken.parts[name].dtype == dtype:
                parts[name] = taken.parts[name]
            else:
                name = add(to_dtype(state.latents[:, frames.start - first : frames.stop - first]))
            chunks[frames] = name
            return name

        def from_source(source: Tensor, make: Callable[[Tensor], Tensor]) -> str:
            """Passes of one prompt have one tensor, and so have snapshots of one sink."""
            if id(source) not in sources:
                if known := taken.sources.get(id(source)):
                    parts[known[1]] = taken.parts[known[1]]
                sources[id(source)] = known or (source, add(make(source)))
            return sources[id(source)][1]

        def prompt(embeddings: Tensor) -> str:
            return from_source(embeddings, _without_absent_rows)

        end = state.chunk * chunk_frames
        first = end - state.latents.shape[1]
        cuts = range(end, first, -chunk_frames)
        pieces = [range(max(cut - chunk_frames, first), cut) for cut in reversed(cuts)]
        sink = state.sink
        head = Head(
            model=model,
            policy=state.policy,
            seed=state.seed,
            chunk=state.chunk,
            prompt=prompt(state.prompt),
            latents=tuple(piece(frames) for frames in pieces or [range(first, end)]),  # none before the first chunk
            sink=SinkHead(from_source(sink.latents, to_dtype), sink.first, sink.position, sink.exact) if sink else None,
            passes=tuple(PassHead(made.frames.start, len(made.frames), prompt(made.prompt)) for made in state.passes),
            coming=tuple(
                ComingHead(step.chunk, prompt(step.old), prompt(step.new), step.share, step.memory, step.sink)
                for step in state.coming
            ),
            origin=state.origin,
            offset=state.offset,
        )
        taken.chunks, taken.sources, taken.parts = chunks, sources, parts
        return Snapshot(head, parts)

    def state(self) -> RolloutState:
        """What `Rollout.restore` takes."""
        head, parts = self.head, self.parts
        sink = head.sink
        return RolloutState(
            policy=head.policy,
            seed=head.seed,
            chunk=head.chunk,
            prompt=parts[head.prompt],
            latents=torch.cat([parts[name] for name in head.latents], dim=1),
            sink=Sink(sink.first, sink.position, parts[sink.part], sink.exact) if sink else None,
            passes=tuple(
                CleanPass(range(made.first, made.first + made.frames), parts[made.prompt]) for made in head.passes
            ),
            coming=tuple(
                Coming(step.chunk, parts[step.old], parts[step.new], step.share, step.memory, step.sink)
                for step in head.coming
            ),
            origin=head.origin,
            offset=head.offset,
        )

    def fork(self, seed: int) -> Snapshot:
        """The same past, to go on from with the noise of another seed."""
        return replace(self, head=replace(self.head, seed=seed))

    def pack(self, known: Collection[str] = ()) -> bytes:
        """As bytes, without the parts whose names are `known`: `unpack` wants those back."""
        from safetensors.torch import save

        from longlive.config_file import to_json

        head = to_json(self.head).encode()
        body = len(head).to_bytes(4) + head + save({name: self.parts[name] for name in self.parts if name not in known})
        body = VERSION.to_bytes(2) + body
        return MAGIC + _checksum(body) + body

    @staticmethod
    def unpack(data: bytes, known: Mapping[str, Tensor] | None = None) -> Snapshot:
        """What `pack` made, with its missing parts among the `known` ones. Raises SnapshotError."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        from longlive.config_file import parse_json

        start = len(MAGIC)
        if data[:start] != MAGIC:
            raise SnapshotError("this is no snapshot; give a file that was written as one")
        checksum, body = data[start:][:DIGEST_BYTES], data[start + DIGEST_BYTES :]
        if checksum != _checksum(body):
            raise SnapshotError("the snapshot is damaged (its checksum is wrong); copy it again or take an earlier one")
        version, length = int.from_bytes(body[:2]), int.from_bytes(body[2:6])
        if version != VERSION:
            raise SnapshotError(
                f"the snapshot has version {version}, this release reads {VERSION}; go on with the release it is of"
            )
        try:
            head = parse_json(Head, body[6 : 6 + length])
            parts = load(body[6 + length :])
        except (ValueError, SafetensorError) as error:
            raise SnapshotError(f"the snapshot is damaged ({error}); take an earlier one") from error
        complete = {**(known or {}), **parts}
        names = _names(head)
        if missing := names - complete.keys():
            raise SnapshotError(f"the snapshot lacks {len(missing)} of its parts; give those of the snapshot before it")
        if wrong := [name for name in names if _digest(complete[name]) != name]:
            raise SnapshotError(f"{len(wrong)} parts of the snapshot are not what they were; take an earlier one")
        return Snapshot(head, {name: complete[name] for name in names})

    def pack_part(self, name: str) -> bytes:
        """One part as bytes, for `unpack_part`; whether they are whole is seen when a head is unpacked with it."""
        from safetensors.torch import save

        return save({name: self.parts[name]})

    @staticmethod
    def unpack_part(data: bytes) -> Mapping[str, Tensor]:
        """The part and its name. Raises SnapshotError."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return load(data)
        except (ValueError, SafetensorError, KeyError) as error:
            raise SnapshotError(f"a part of the snapshot is damaged ({error}); take an earlier one") from error

    def save(self, path: Path) -> None:
        """Writes a file that holds every part, in one step. Raises OSError."""
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")  # another process may write the same file
        try:
            beside.write_bytes(self.pack())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @staticmethod
    def load(path: Path) -> Snapshot:
        """Raises SnapshotError, or OSError if the file cannot be read."""
        try:
            return Snapshot.unpack(path.read_bytes())
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}") from error


@dataclass
class TakenParts:
    """What the last snapshot of a roll-out was made of. A new one for each roll-out, and after each restore.

    Between two snapshots a roll-out only adds chunks, and replaces prompts and sinks by other tensors.
    """

    parts: Mapping[str, Tensor] = field(default_factory=dict)
    chunks: Mapping[range, str] = field(default_factory=dict)
    """Latent frames, and the part with their latents."""
    sources: Mapping[int, tuple[Tensor, str]] = field(default_factory=dict)
    """By the ids of prompts and sinks, which are kept so that no other tensor gets them: the parts made of these."""

    @staticmethod
    def of(snapshot: Snapshot, chunk_frames: int) -> TakenParts:
        """For a roll-out that was restored from it."""
        chunks: dict[range, str] = {}
        stop = snapshot.head.chunk * chunk_frames
        for name in reversed(snapshot.head.latents):
            start = stop - snapshot.parts[name].shape[1]
            chunks[range(start, stop)] = name
            stop = start
        return TakenParts(snapshot.parts, chunks)


def _names(head: Head) -> set[str]:
    prompts = {head.prompt, *(made.prompt for made in head.passes)}
    ends = {end for step in head.coming for end in (step.old, step.new)}
    return {*head.latents, *prompts, *ends} | ({head.sink.part} if head.sink else set())


def _digest(tensor: Tensor) -> str:
    digest = hashlib.blake2b(f"{tensor.dtype} {list(tensor.shape)}".encode(), digest_size=DIGEST_BYTES)
    digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def _without_absent_rows(embeddings: Tensor) -> Tensor:
    """Embeddings [B, L, dim] without the zero rows at their end, which come back when they are read."""
    used = embeddings.ne(0).any(dim=-1).any(dim=0).nonzero()
    return embeddings[:, : int(used.max()) + 1 if len(used) else 1]
