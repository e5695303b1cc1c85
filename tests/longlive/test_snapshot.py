from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longlive.errors import SnapshotError
from longlive.presets import PRESETS
from longlive.rollout import Rollout
from longlive.rollout_state import CleanPass, RolloutState, Sink
from longlive.snapshot import DIGEST_BYTES, MAGIC, Snapshot, TakenParts
from longlive.transformer import CausalWanTransformer
from tests.longlive.small import LATENT, prompt, small_rollout, small_transformer

CHUNK = 2


@pytest.fixture(scope="module")
def transformer() -> CausalWanTransformer:
    return small_transformer()


@pytest.fixture
def rollout(transformer: CausalWanTransformer) -> Rollout:
    rollout = small_rollout(transformer)
    for _ in range(5):
        rollout.next_chunk()
    rollout.switch(prompt(4), "blend")
    rollout.next_chunk()
    return rollout


def take(rollout: Rollout, taken: TakenParts | None = None) -> Snapshot:
    return Snapshot.take("model", rollout.state(), CHUNK, torch.float32, taken)


def assert_same(one: RolloutState, other: RolloutState) -> None:
    def plain(value: object) -> object:
        if isinstance(value, Tensor):
            return value.tolist()
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return {name: plain(item) for name, item in vars(value).items()} if hasattr(value, "__dict__") else value

    assert plain(one) == plain(other)


def test_bytes_give_back_the_state_they_were_made_of(rollout: Rollout) -> None:
    state = rollout.state()
    assert state.coming  # of the blend
    assert state.sink is not None
    back = Snapshot.unpack(take(rollout).pack()).state()
    assert_same(back, state)


def test_a_restored_rollout_goes_on_from_bytes_as_from_the_state(
    transformer: CausalWanTransformer, rollout: Rollout
) -> None:
    from_state, from_bytes = small_rollout(transformer), small_rollout(transformer)
    from_state.restore(rollout.state())
    from_bytes.restore(Snapshot.unpack(take(rollout).pack()).state())
    for _ in range(3):
        assert torch.equal(from_state.next_chunk(), from_bytes.next_chunk())


def test_the_next_snapshot_adds_a_chunk_and_a_head(rollout: Rollout) -> None:
    for _ in range(3):
        rollout.next_chunk()  # the blend is over: no new prompt
    taken = TakenParts()
    first = take(rollout, taken)
    latents = rollout.next_chunk()
    second = take(rollout, taken)
    added = second.parts.keys() - first.parts.keys()
    assert len(added) == 1
    assert torch.equal(second.parts[added.pop()], latents)
    assert all(second.parts[name] is first.parts[name] for name in second.parts.keys() & first.parts.keys())
    whole, delta = second.pack(), second.pack(known=first.parts)
    assert len(delta) < len(whole) - sum(part.nbytes for part in first.parts.values()) / 2
    assert_same(Snapshot.unpack(delta, first.parts).state(), second.state())
    with pytest.raises(SnapshotError, match=r"lacks \d+ of its parts"):
        Snapshot.unpack(delta)


def test_no_part_is_kept_twice_and_none_without_use(rollout: Rollout) -> None:
    snapshot = take(rollout)
    back = Snapshot.unpack(snapshot.pack(), {"stranger": torch.zeros(1)})
    assert back.parts.keys() == snapshot.parts.keys()
    head = snapshot.head
    assert head.sink is not None
    named = {head.prompt, *head.latents, head.sink.part, *(made.prompt for made in head.passes)}
    assert named | {end for step in head.coming for end in (step.old, step.new)} == snapshot.parts.keys()


def test_parts_are_stored_one_by_one_and_put_together_with_a_head(rollout: Rollout) -> None:
    snapshot = take(rollout)
    head = snapshot.pack(known=snapshot.parts)
    stored = [snapshot.pack_part(name) for name in snapshot.parts]
    known = {name: part for data in stored for name, part in Snapshot.unpack_part(data).items()}
    assert Snapshot.unpack(head, known).pack() == snapshot.pack()
    with pytest.raises(SnapshotError, match="lacks 1 of its parts"):
        Snapshot.unpack(head, {name: known[name] for name in list(known)[1:]})


@pytest.mark.parametrize("place", range(0, 260, 7))
def test_a_damaged_part_is_noticed(rollout: Rollout, place: int) -> None:
    snapshot = take(rollout)
    data = bytearray(snapshot.pack_part(snapshot.head.latents[0]))
    data[place] ^= 4
    known = {name: part for name, part in snapshot.parts.items() if name != snapshot.head.latents[0]}
    with pytest.raises(SnapshotError):
        Snapshot.unpack(snapshot.pack(known=snapshot.parts), {**known, **Snapshot.unpack_part(bytes(data))})


def test_what_was_taken_before_is_not_read_again(rollout: Rollout) -> None:
    for _ in range(3):
        rollout.next_chunk()
    taken = TakenParts()
    take(rollout, taken)
    latents = rollout.next_chunk()
    state = rollout.state()
    other = torch.full_like(state.latents, torch.nan)
    other[:, -CHUNK:] = latents
    expected = take(rollout)
    again = Snapshot.take("model", replace(state, latents=other), CHUNK, torch.float32, taken)
    assert again.pack() == expected.pack()


def test_in_another_number_format_parts_are_taken_anew(rollout: Rollout) -> None:
    taken = TakenParts.of(take(rollout), CHUNK)
    assert take(rollout, taken).pack() == take(rollout).pack()
    taken = TakenParts.of(take(rollout), CHUNK)
    coarse = Snapshot.take("model", rollout.state(), CHUNK, torch.bfloat16, taken)
    assert coarse.pack() == Snapshot.take("model", rollout.state(), CHUNK, torch.bfloat16).pack()


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.9, 1.0])
def test_a_changed_byte_anywhere_is_noticed(rollout: Rollout, place: float) -> None:
    data = bytearray(take(rollout).pack())
    data[min(len(data) - 1, int(len(data) * place))] ^= 1
    with pytest.raises(SnapshotError, match=r"damaged.*earlier"):
        Snapshot.unpack(bytes(data))


@pytest.mark.parametrize("length", [0, 5, len(MAGIC), len(MAGIC) + 2, 30, 500, -1])
def test_a_cut_snapshot_is_refused(rollout: Rollout, length: int) -> None:
    with pytest.raises(SnapshotError):
        Snapshot.unpack(take(rollout).pack()[:length])


def test_a_snapshot_of_a_newer_release_is_refused_with_the_reason(rollout: Rollout) -> None:
    data = take(rollout).pack()
    body = bytearray(data[len(MAGIC) + DIGEST_BYTES :])
    body[1] = 9
    newer = MAGIC + hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() + body
    with pytest.raises(SnapshotError, match=r"version 9, this release reads 1; go on with the release it is of"):
        Snapshot.unpack(newer)


def test_a_part_that_is_not_what_its_name_says_is_refused(rollout: Rollout) -> None:
    first = take(rollout)
    rollout.next_chunk()
    second = take(rollout)
    forged = {name: part + 1 for name, part in first.parts.items()}
    with pytest.raises(SnapshotError, match="are not what they were"):
        Snapshot.unpack(second.pack(known=first.parts), forged)


def test_something_else_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something else altogether, and long enough to hold a header")
    with pytest.raises(SnapshotError, match=r"x: this is no snapshot"):
        Snapshot.load(tmp_path / "x")
    with pytest.raises(OSError, match="No such file"):
        Snapshot.load(tmp_path / "y")


def test_a_file_holds_all_of_a_snapshot_and_replaces_an_earlier_one(rollout: Rollout, tmp_path: Path) -> None:
    take(rollout).save(tmp_path / "s")
    rollout.next_chunk()
    take(rollout).save(tmp_path / "s")
    assert_same(Snapshot.load(tmp_path / "s").state(), rollout.state())
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize(("sink", "size", "window"), [(3, 2, 7), (2, 2, 7), (1, 3, 8), (0, 2, 5)])
def test_parts_are_the_latents_they_name_and_nothing_around_them(
    transformer: CausalWanTransformer, sink: int, size: int, window: int
) -> None:
    rollout = small_rollout(transformer, chunk_frames=size, sink_frames=sink, window_frames=window)
    known: dict[str, Tensor] = {}
    for chunk in range(9):
        if chunk in (2, 6):
            rollout.switch(prompt(chunk))
        snapshot = Snapshot.take("model", rollout.state(), size, torch.float32)
        assert_same(Snapshot.unpack(snapshot.pack()).state(), rollout.state())
        assert all(part.untyped_storage().nbytes() == part.nbytes for part in snapshot.parts.values())
        new = [part for name, part in snapshot.parts.items() if name not in known and part.shape[2:] == LATENT]
        assert len(new) <= 1 or chunk < 3 or chunk == 6  # of the chunk, and of a sink that a recache wrote
        known |= snapshot.parts
        rollout.next_chunk()


def test_a_fork_differs_in_its_seed_alone(rollout: Rollout) -> None:
    snapshot = take(rollout)
    fork = snapshot.fork(99)
    assert fork.head == replace(snapshot.head, seed=99)
    assert fork.parts is snapshot.parts


def test_absent_rows_of_a_prompt_take_no_space(transformer: CausalWanTransformer) -> None:
    rows = prompt(3)
    padded = torch.nn.functional.pad(rows, (0, 0, 0, 3))
    for given in (rows, padded, torch.zeros_like(padded)):
        rollout = small_rollout(transformer)
        rollout.switch(given)
        snapshot = take(rollout)
        assert snapshot.parts[snapshot.head.prompt].shape[1] == (3 if given.any() else 1)
        expected, restored = rollout.next_chunk(), small_rollout(transformer)
        restored.restore(snapshot.state())
        torch.testing.assert_close(restored.next_chunk(), expected)


@pytest.mark.parametrize("name", [*PRESETS])
def test_a_snapshot_of_a_published_model_takes_no_more_than_its_window_and_sink(name: str) -> None:
    config = PRESETS[name].config
    channels, height, width = config.latent_shape
    window, sink, size = config.rollout.window_frames, config.rollout.sink_frames, config.rollout.chunk_frames
    frame_bytes = channels * height * width * 2
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(1, window + 2 * size + sink, channels, height, width, generator=generator)
    embeddings = torch.randn(1, 100, config.transformer.text_dim, generator=generator).bfloat16()

    def snapshot(chunk: int) -> Snapshot:
        end = chunk * size
        starts = range(end - window, end, size)
        passes = (range(sink), *(range(start, start + size) for start in starts))
        state = RolloutState(
            policy="ChunkPolicy",
            seed=2**63,
            chunk=chunk,
            prompt=embeddings,
            latents=video[:, end - window : end],
            sink=Sink(0, 0, video[:, :sink]) if sink else None,
            passes=tuple(CleanPass(frames, embeddings) for frames in passes if frames),
            coming=(),
            origin=0,
            offset=0,
        )
        return Snapshot.take("0" * 32, state, size, torch.bfloat16)

    chunk = -(-(window + sink) // size)
    first, second = snapshot(chunk), snapshot(chunk + 1)
    rest = 8192  # names, numbers and the tensors' headers
    size_without_prompt = len(first.pack()) - embeddings.nbytes
    assert size_without_prompt <= (window + sink) * frame_bytes + rest
    assert len(second.pack(known=first.parts)) <= size * frame_bytes + rest
    if name == "longlive-1.3b":
        assert size_without_prompt <= 3 * 2**20
