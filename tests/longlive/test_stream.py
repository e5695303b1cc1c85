"""Streams that are taken down and go on, fork, and go back. Their pictures are random but move with everything."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longlive.errors import InputError, SnapshotError
from longlive.model import Model
from longlive.pipeline import load_model
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream
from longlive.switch import Recache, SwitchMode, SwitchName
from tests.support import UNTRAINED, make_untrained_model

BALL, CUBE = "a red ball moves left in the desert", "a blue cube hops on the sea at night"


def open_stream(model: Model, chunks: int = 0, **options: int) -> VideoStream:
    stream = VideoStream(model, model.encode([BALL]), seed=1, **options)
    watch(stream, chunks)
    return stream


def watch(stream: VideoStream, chunks: int) -> Tensor:
    made = [stream.next_frames() for _ in range(chunks)]
    return torch.cat(made) if made else torch.empty(0)


def psnr(made: Tensor, expected: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (made.float() - expected.float()).square().mean()))


def test_while_everything_is_still_in_the_snapshot_a_restored_stream_is_the_same(untrained: Model) -> None:
    for chunks in range(4):
        stream = open_stream(untrained, chunks)
        other = VideoStream.restore(untrained, stream.snapshot())
        assert (other.chunk, other.frame) == (stream.chunk, stream.frame)
        assert psnr(watch(other, 2), watch(stream, 2)) > 45


def test_later_a_restored_stream_goes_on_with_the_same_scene_and_says_the_same_numbers(untrained: Model) -> None:
    stream = open_stream(untrained, 9)
    stream.switch(untrained.encode([CUBE]))
    watch(stream, 2)
    snapshot = stream.snapshot()
    # A decoder that nobody has trained forgets slowly.
    other = VideoStream.restore(untrained, Snapshot.unpack(snapshot.pack()), warmup_latents=12)
    assert (other.chunk, other.frame) == (stream.chunk, stream.frame) == (11, 129)
    expected, restored = watch(stream, 1), watch(other, 1)
    assert restored.shape == expected.shape
    cut = watch(VideoStream(untrained, untrained.encode([CUBE]), seed=2), 2)[-12:]
    assert psnr(restored, expected) > psnr(cut, expected) + 10
    assert other.frame == stream.frame == 141


def fresh(stream: VideoStream) -> Snapshot:
    """One that shares nothing with earlier ones."""
    model = stream._model
    size = model.config.rollout.chunk_frames
    return Snapshot.take(model.identity, stream._rollout.state(), size, model.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_snapshot_of_every_chunk_is_what_one_that_begins_anew_would_be(
    untrained_folder: Path, dtype: torch.dtype
) -> None:
    model = load_model(untrained_folder, dtype=dtype, device="cpu")
    stream = open_stream(model, history=3)
    prompts = [model.encode([text]) for text in (CUBE, BALL)]
    modes: dict[int, SwitchMode | SwitchName] = {
        3: "recache", 8: "blend", 10: "keep", 13: Recache(sink="reset"), 19: "clear", 21: "blend"
    }  # fmt: skip
    for chunk in range(24):
        if chunk in modes:
            stream.switch(prompts[chunk % 2], modes[chunk])
            assert stream.snapshot().pack() == fresh(stream).pack()
        if chunk in (6, 20):
            stream = VideoStream.restore(model, Snapshot.unpack(stream.snapshot().pack()), history=3)
        elif chunk in (9, 14, 22):
            stream.rewind(stream.frame - 20)
        elif chunk == 16:
            stream = stream.fork(seed=5)
        assert stream.snapshot().pack() == fresh(stream).pack()
        stream.next_frames()
        snapshot = stream.snapshot()
        assert snapshot.pack() == fresh(stream).pack()
        assert all(part.untyped_storage().nbytes() == part.nbytes for part in snapshot.parts.values())


def test_a_restore_reads_the_prompt_once(untrained: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = open_stream(untrained, 6).snapshot()
    read = []
    encode_text = untrained.transformer.encode_text
    monkeypatch.setattr(untrained.transformer, "encode_text", lambda embeds: read.append(embeds) or encode_text(embeds))
    VideoStream.restore(untrained, snapshot).next_frames()
    assert len(read) == 1


def test_the_decoder_s_warm_up_is_what_makes_the_seam_invisible(untrained: Model) -> None:
    stream = open_stream(untrained, 8)
    snapshot = stream.snapshot()
    expected = watch(stream, 1)
    errors = [
        psnr(watch(VideoStream.restore(untrained, snapshot, warmup_latents=latents), 1), expected)
        for latents in (0, 3, 6, 12)
    ]
    assert errors == sorted(set(errors))


def test_another_process_goes_on_with_the_very_frames_that_this_one_would_restore(
    untrained: Model, untrained_folder: Path, tmp_path: Path
) -> None:
    stream = open_stream(untrained, 5)
    stream.snapshot().save(tmp_path / "snapshot")
    script = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from longlive.pipeline import load_model\n"
        "from longlive.snapshot import Snapshot\n"
        "from longlive.stream import VideoStream\n"
        "model = load_model(sys.argv[1], dtype=torch.float32, device='cpu')\n"
        "stream = VideoStream.restore(model, Snapshot.load(Path(sys.argv[2])))\n"
        "torch.save(torch.cat([stream.next_frames() for _ in range(2)]), sys.argv[3])\n"
    )
    files = [str(untrained_folder), str(tmp_path / "snapshot"), str(tmp_path / "frames")]
    subprocess.run([sys.executable, "-c", script, *files], check=True)
    here = VideoStream.restore(untrained, Snapshot.load(tmp_path / "snapshot"))
    assert torch.equal(torch.load(tmp_path / "frames"), watch(here, 2))


def test_a_snapshot_before_the_first_chunk_is_a_beginning(untrained: Model) -> None:
    stream = open_stream(untrained)
    assert torch.equal(watch(VideoStream.restore(untrained, stream.snapshot()), 2), watch(stream, 2))


def test_in_bfloat16_the_latents_of_a_snapshot_lose_nothing(untrained_folder: Path) -> None:
    model = load_model(untrained_folder, dtype=torch.bfloat16, device="cpu")
    stream = open_stream(model, 3)
    snapshot = stream.snapshot()
    assert {snapshot.parts[name].dtype for name in snapshot.head.latents} == {torch.bfloat16}
    other = VideoStream.restore(model, snapshot)
    assert psnr(watch(other, 2), watch(stream, 2)) > 40


def test_the_snapshot_of_another_model_is_refused(untrained: Model, tmp_path: Path) -> None:
    other = load_model(make_untrained_model(tmp_path, UNTRAINED, seed=1), dtype=torch.float32, device="cpu")
    with pytest.raises(SnapshotError, match="of another model"):
        VideoStream.restore(other, open_stream(untrained, 1).snapshot())


def test_another_number_format_of_the_same_weights_may_go_on(untrained: Model, untrained_folder: Path) -> None:
    coarse = load_model(untrained_folder, dtype=torch.bfloat16, device="cpu")
    stream = open_stream(untrained, 4)
    other = VideoStream.restore(coarse, stream.snapshot())
    assert psnr(watch(other, 1), watch(stream, 1)) > 20


def test_a_fork_shares_the_past_and_goes_its_own_way(untrained: Model) -> None:
    stream = open_stream(untrained, 4)
    same, other = stream.fork(), stream.fork(seed=9)
    assert (same.frame, other.frame) == (stream.frame, stream.frame)
    other.switch(untrained.encode([CUBE]))
    expected = watch(stream, 2)
    assert psnr(watch(same, 2), expected) > 40
    assert psnr(watch(other, 2), expected) < 35
    assert torch.equal(watch(stream, 1), watch(open_stream(untrained, 6), 1))  # the original knows nothing of it


def test_a_stream_goes_back_to_the_chunk_that_holds_a_frame(untrained: Model) -> None:
    stream = open_stream(untrained, history=10)
    video = [stream.next_frames() for _ in range(6)]
    assert stream.rewind(40) == 33  # chunk 3 has frames 33 to 44
    assert (stream.chunk, stream.frame) == (3, 33)
    for chunk in (3, 4, 5):
        assert psnr(stream.next_frames(), video[chunk]) > 40
    assert stream.rewind(stream.frame) == 69  # nothing to do
    assert stream.rewind(0) == 0
    assert torch.equal(stream.next_frames(), video[0])


def test_going_back_brings_the_prompt_of_that_time_and_leaves_the_future_open(untrained: Model) -> None:
    stream = open_stream(untrained, history=10)
    plain = [stream.next_frames() for _ in range(3)]
    stream.switch(untrained.encode([CUBE]))
    watch(stream, 2)
    stream.rewind(9)
    assert psnr(stream.next_frames(), plain[1]) > 40
    assert psnr(stream.next_frames(), plain[2]) > 40
    with pytest.raises(InputError, match="not in the video yet"):
        stream.rewind(50)


def test_what_is_forgotten_and_what_is_yet_to_come_cannot_be_gone_back_to(untrained: Model) -> None:
    stream = open_stream(untrained, 5, history=2)
    assert stream.rewind(33) == 33
    watch(stream, 2)
    with pytest.raises(InputError, match=r"frame 32 is forgotten: the stream remembers from frame 33 on"):
        stream.rewind(32)
    with pytest.raises(InputError, match=r"give one up to 57"):
        stream.rewind(58)
    with pytest.raises(InputError, match=r"remembers nothing; give it a longer history"):
        open_stream(untrained, 2).rewind(0)


def test_a_history_holds_each_chunk_once(untrained: Model) -> None:
    stream = open_stream(untrained, 12, history=6)
    storages = {
        part.untyped_storage().data_ptr(): part.untyped_storage().nbytes()
        for past in stream._past
        for part in past.parts.values()
    }
    latents = UNTRAINED.latent_shape
    chunk_bytes = UNTRAINED.rollout.chunk_frames * latents[0] * latents[1] * latents[2] * 4
    prompt_bytes = UNTRAINED.transformer.text_len * UNTRAINED.transformer.text_dim * 4
    assert sum(storages.values()) <= (6 + 4 + 1) * chunk_bytes + prompt_bytes


def test_a_fork_remembers_what_its_origin_does(untrained: Model) -> None:
    stream = open_stream(untrained, 4, history=4)
    fork = stream.fork(seed=9)
    assert fork.rewind(9) == 9
    assert stream.frame == 45
    assert psnr(watch(fork, 1), watch(open_stream(untrained, 2), 1)) < 60  # other noise


def test_a_stream_that_failed_in_the_middle_goes_on_once_it_is_rewound(
    untrained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open_stream(untrained, 3, history=4)
    expected = VideoStream.restore(untrained, stream.snapshot()).next_frames()

    def fail(*_: object) -> Tensor:
        raise MemoryError("out of memory")

    for part in (untrained.transformer, untrained.decoder):
        with monkeypatch.context() as patched:
            patched.setattr(part, "decode" if part is untrained.decoder else "forward", fail)
            with pytest.raises(MemoryError):
                stream.next_frames()
        with pytest.raises(RuntimeError, match="rewind it, or restore it"):
            stream.next_frames()
        assert stream.rewind(33) == 33
    assert torch.equal(stream.next_frames(), expected)


def test_at_the_end_of_its_positions_a_stream_keeps_its_history(untrained: Model) -> None:
    rollout = replace(UNTRAINED.rollout, positions="absolute", max_positions=12)
    limited = replace(untrained, config=replace(UNTRAINED, rollout=rollout))
    stream = open_stream(limited, 4, history=2)
    for _ in range(3):
        with pytest.raises(InputError, match="past the 12 positions"):
            stream.next_frames()
    assert stream.rewind(21) == 21
