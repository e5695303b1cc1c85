"""`longlive generate` with files of prompts and with snapshots; `test_cli` has its plain form."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest
import torch

from longlive.clip import Clip, Latents, Switch
from longlive.config import RolloutConfig
from longlive.model import Model
from longlive.pipeline import generate
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream
from longlive.video_file import VideoFile
from tests.support import UNTRAINED, make_untrained_model
from tests.test_cli import run

BALL, CUBE, DONUT = "a red ball moves left in the desert", "a blue cube hops on the sea at night", "a pink donut"


def frames_in(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def encoded(model: Model, clip: Clip, path: Path) -> np.ndarray:
    """The frames of a clip after the encoder, to compare files with."""
    with VideoFile(path, model.config.fps, model.config.width, model.config.height) as video:
        for frames in generate(model, clip):
            video.write(frames)
    return frames_in(path)


def alike(made: np.ndarray, expected: np.ndarray) -> bool:
    """Whether frames are the same but for the encoder: x264 is not repeatable for pictures as small as these.

    Its runs differ by 0.2 of 255 on average, a switch of the untrained model's prompt changes a chunk by more than 2.
    """
    return made.shape == expected.shape and float(np.abs(made.astype(float) - expected).mean()) < 0.6


@pytest.fixture
def interactive(tmp_path: Path) -> Path:
    path = tmp_path / "interactive.jsonl"
    lines = [{"prompts": [BALL, CUBE, DONUT]}, {"prompts": [DONUT, BALL, CUBE]}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def same_numbers(untrained_folder: Path) -> tuple[object, ...]:
    """Options for the model of the fixture `untrained`."""
    return ("--model", untrained_folder, "--dtype", "float32")


def test_the_references_json_lines_and_switch_frames_run_as_they_are(
    capsys: pytest.CaptureFixture[str],
    untrained: Model,
    interactive: Path,
    same_numbers: tuple[object, ...],
    tmp_path: Path,
) -> None:
    out = tmp_path / "videos" / "interactive"
    code, said, _ = run(
        capsys, "generate", "--prompts", interactive, "--switch-frames", "4, 8", "--latents", 12, "--samples", 2,
        "--seed", 3, "--out", out, *same_numbers,
    )  # fmt: skip
    assert code == 0
    assert said.splitlines() == [
        f"{out / name}: 45 frames of 64x64, 2.81 s, seed {seed}"
        for name, seed in (("0-0.mp4", 3), ("0-1.mp4", 4), ("1-0.mp4", 1003), ("1-1.mp4", 1004))
    ]
    assert sorted(path.name for path in out.iterdir()) == ["0-0.mp4", "0-1.mp4", "1-0.mp4", "1-1.mp4"]
    on_chunks = (Switch(Latents(6), BALL), Switch(Latents(9), CUBE))  # 4 and 8, rounded up
    expected = encoded(untrained, Clip(DONUT, Latents(12), on_chunks, seed=1004), tmp_path / "expected.mp4")
    assert alike(frames_in(out / "1-1.mp4"), expected)


def test_the_references_text_file_runs_as_it_is(
    capsys: pytest.CaptureFixture[str], untrained: Model, same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_bytes(f"{BALL}\r\n\r\n{CUBE} jauntily\r\n".encode())
    out = tmp_path / "videos"
    arguments = ("generate", "--prompts", tmp_path / "prompts.txt", "--seconds", 1, "--out", out, *same_numbers)
    code, said, progress = run(capsys, *arguments)
    assert (code, len(said.splitlines())) == (0, 2)
    assert "line 3: The model does not know, and ignores: jauntily" in " ".join(progress.split())
    expected = encoded(untrained, Clip(CUBE, Latents(5), seed=1000), tmp_path / "expected.mp4")
    assert alike(frames_in(out / "1-0.mp4"), expected[:16])


def test_a_stopped_run_goes_on_where_it_was_and_makes_nothing_twice(
    capsys: pytest.CaptureFixture[str], interactive: Path, same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "videos"
    arguments = (
        "generate", "--prompts", interactive, "--switch-frames", "3, 6", "--latents", 9, "--out", out, *same_numbers,
    )  # fmt: skip
    assert run(capsys, *arguments)[0] == 0
    whole = frames_in(out / "1-0.mp4")
    (out / "1-0.mp4").rename(out / "1-0.part.mp4")  # what is left of a run that was stopped in its second video
    (out / "0-0.mp4").write_bytes(b"precious")
    code, said, progress = run(capsys, *arguments)
    assert code == 0
    assert [line.partition(":")[0] for line in said.splitlines()] == [str(out / "1-0.mp4")]
    assert "1 of 2 videos are there already; --overwrite makes them anew" in progress
    assert (out / "0-0.mp4").read_bytes() == b"precious"
    assert alike(frames_in(out / "1-0.mp4"), whole)
    assert not (out / "1-0.part.mp4").exists()
    code, said, progress = run(capsys, *arguments)
    assert (code, said) == (0, "")
    assert "2 of 2 videos are there already" in progress
    code, said, _ = run(capsys, *arguments, "--overwrite")
    assert (code, len(said.splitlines())) == (0, 2)
    assert len(frames_in(out / "0-0.mp4")) == 33


@pytest.mark.parametrize("made", [0, 5])
def test_a_video_that_is_cut_short_is_left_beside_its_name(tmp_path: Path, made: int) -> None:
    path, part = tmp_path / "clip.mp4", tmp_path / "clip.part.mp4"
    path.write_bytes(b"precious")

    def write_until_stopped() -> None:
        with VideoFile(path, 16, 64, 64) as video:
            video.write(torch.zeros(made, 64, 64, 3, dtype=torch.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_until_stopped()
    assert path.read_bytes() == b"precious"
    assert part.exists() == bool(made)
    if made:
        assert len(frames_in(part)) == made


WRITER = """
import sys, torch
from longlive.video_file import VideoFile
with VideoFile(sys.argv[1], 16, 64, 64) as video:
    video.write(torch.zeros(5, 64, 64, 3, dtype=torch.uint8))
    print("writing", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_run(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a video of 5 frames, and ends it when it is written to."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_video_that_another_run_is_writing_is_refused_and_not_harmed(
    capsys: pytest.CaptureFixture[str], same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text(BALL)
    path = tmp_path / "0-0.mp4"
    of_one, of_many = ("--prompt", BALL, "--out", path), ("--prompts", tmp_path / "prompts.txt", "--out", tmp_path)
    with another_run(path) as process:
        for arguments in (of_one, of_many):
            code, said, err = run(capsys, "generate", *arguments, "--latents", 3, *same_numbers)
            assert (code, said) == (2, "")
            assert err.splitlines()[-1].startswith(f"longlive: another run is writing {path}; wait for it")
        process.communicate("end\n")
    assert len(frames_in(path)) == 5
    assert run(capsys, "generate", *of_one, "--latents", 3, *same_numbers)[0] == 0
    assert len(frames_in(path)) == 9


def test_a_run_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with another_run(path) as process:
        process.kill()
        process.wait()
    with VideoFile(path, 16, 64, 64) as video:
        video.write(torch.zeros(3, 64, 64, 3, dtype=torch.uint8))
    assert len(frames_in(path)) == 3
    assert [left.name for left in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_whose_part_gets_its_final_name_between_opening_and_locking_is_not_written_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, part, lock = tmp_path / "clip.mp4", tmp_path / "clip.part.mp4", fcntl.flock
    part.write_bytes(b"precious")

    def finish_first(file: BinaryIO, operation: int) -> None:
        if part.exists() and part.read_bytes() == b"precious":
            part.rename(path)
        lock(file, operation)

    monkeypatch.setattr("longlive.video_file.fcntl.flock", finish_first)
    with VideoFile(path, 16, 64, 64) as video:
        assert path.read_bytes() == b"precious"
        video.write(torch.zeros(3, 64, 64, 3, dtype=torch.uint8))
        assert path.read_bytes() == b"precious"
    assert len(frames_in(path)) == 3


def test_a_place_that_is_full_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.part.mp4").symlink_to("/dev/full")

    def fill() -> None:
        with VideoFile(tmp_path / "clip.mp4", 16, 64, 64) as video:
            video.write(torch.randint(0, 256, (60, 64, 64, 3), dtype=torch.uint8))

    with pytest.raises(OSError, match=r"No space left on device: .*clip\.mp4"):
        fill()


def test_a_blend_takes_as_many_chunks_as_it_is_told(
    capsys: pytest.CaptureFixture[str], same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    def video(name: str, *options: object) -> np.ndarray:
        arguments = ("--prompt", BALL, "--switch", f"0.5:{CUBE}", "--latents", 9, "--out", tmp_path / name)
        assert run(capsys, "generate", *arguments, *options, *same_numbers)[0] == 0
        return frames_in(tmp_path / name)

    recached = video("recache.mp4")
    assert alike(video("one.mp4", "--mode", "blend", "--blend-chunks", 1), recached)
    assert not alike(video("two.mp4", "--mode", "blend", "--blend-chunks", 2)[9:], recached[9:])


def test_a_video_goes_on_in_another_process_from_a_snapshot(
    capsys: pytest.CaptureFixture[str], untrained: Model, same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    snapshot, more = tmp_path / "end.snapshot", tmp_path / "more.mp4"
    code, said, _ = run(
        capsys, "generate", "--prompt", BALL, "--seconds", 1, "--seed", 2, "--out", tmp_path / "clip.mp4",
        "--snapshot-to", snapshot, *same_numbers,
    )  # fmt: skip
    assert code == 0
    assert "21 frames" in said.splitlines()[0]  # a whole chunk: 16 were asked for
    assert f"{snapshot}: goes on at 1.31 s" in said
    arguments = ["generate", "--from", snapshot, "--prompt", CUBE, "--latents", "6", "--out", more, *same_numbers]
    program = "import torch; torch.set_num_threads(1); from deployments.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{more}: 24 frames of 64x64, 1.50 s, seed 2\n"), done.stderr
    stream = VideoStream(untrained, untrained.encode([BALL]), seed=2)
    for _ in range(2):
        stream.next_frames()
    stream.switch(untrained.encode([CUBE]))
    with VideoFile(tmp_path / "uninterrupted.mp4", 16, 64, 64) as video:
        for _ in range(2):
            video.write(stream.next_frames())
    assert alike(frames_in(more), frames_in(tmp_path / "uninterrupted.mp4"))
    fork = tmp_path / "fork.mp4"
    assert (
        run(capsys, "generate", "--from", snapshot, "--seed", 9, "--latents", 6, "--out", fork, *same_numbers)[0] == 0
    )
    assert not alike(frames_in(fork), frames_in(more))


def test_a_snapshot_that_cannot_be_gone_on_from_gets_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    same_numbers: tuple[object, ...],
    tmp_path: Path,
) -> None:
    good, clip = tmp_path / "good", tmp_path / "clip.mp4"
    arguments = ("generate", "--prompt", BALL, "--seconds", 0.5, "--out", clip, "--snapshot-to", good)
    assert run(capsys, *arguments, *same_numbers)[0] == 0
    other = make_untrained_model(tmp_path / "other", seed=1)
    data = good.read_bytes()
    (tmp_path / "damaged").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    snapshot = Snapshot.load(good)
    with monkeypatch.context() as later:
        later.setattr("longlive.snapshot.VERSION", 99)
        snapshot.save(tmp_path / "newer")
    for name, model, says in (
        ("clip.mp4", same_numbers, "this is no snapshot"),
        ("damaged", same_numbers, "checksum"),
        ("newer", same_numbers, "version 99"),
        ("nothing", same_numbers, "No such file"),
        ("good", ("--model", other, "--dtype", "float32"), "of another model"),
    ):
        code, out, err = run(
            capsys, "generate", "--from", tmp_path / name, "--seconds", 1, "--out", tmp_path / "more.mp4", *model
        )
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert not list(tmp_path.glob("more*"))


def test_a_video_longer_than_the_models_positions_is_refused_or_counts_anew(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rollout = RolloutConfig(positions="absolute", max_positions=18)
    model = make_untrained_model(tmp_path / "model", replace(UNTRAINED, rollout=rollout))
    out = tmp_path / "clip.mp4"
    arguments = ("generate", "--prompt", BALL, "--latents", 21, "--out", out, "--model", model, "--dtype", "float32")
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "ask for at most 18 latent frames, 4.3125 s" in err
    assert not list(tmp_path.glob("clip*"))
    code, said, _ = run(capsys, *arguments, "--at-limit", "rebase")
    assert (code, "81 frames" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "1"], "give --prompt, or a file with --prompts"),
        (["--prompt", "x"], "Give either --seconds or --latents"),
        (["--prompt", "x", "--seconds", "1", "--latents", "9"], "Give either --seconds or --latents"),
        (["--prompt", "x", "--latents", "0"], "--latents"),
        (["--prompt", "x", "--latents", "9", "--blend-chunks", "2"], "--mode blend"),
        (["--prompt", "x", "--latents", "9", "--samples", "2"], "--samples is for the videos of --prompts"),
        (["--prompt", "x", "--latents", "9", "--overwrite"], "--overwrite is for the videos of --prompts"),
        (["--prompt", "x", "--latents", "9", "--switch-frames", "3"], "--switch-frames is for the videos of --prompts"),
        (["--prompt", "x", "--latents", "9", "--snapshot-to", "no/where"], "in a folder that there is"),
        (["--prompt", "x", "--latents", "9", "--snapshot-to", "out"], "--snapshot-to and --out are both out"),
        (["--prompts", "two.jsonl", "--latents", "9", "--prompt", "x"], "--prompt is for one video"),
        (["--prompts", "two.jsonl", "--latents", "9", "--switch", "0:x"], "--switch is for one video"),
        (["--prompts", "two.jsonl", "--latents", "9", "--snapshot-to", "s"], "--snapshot-to is for one video"),
        (["--prompts", "two.jsonl", "--latents", "9"], "1 switch frames are needed and not 0"),
        (["--prompts", "two.jsonl", "--latents", "9", "--switch-frames", "a"], "latent frames that increase"),
        (["--prompts", "two.jsonl", "--latents", "9", "--switch-frames", "7"], "up to 6 latent frames"),
        (["--prompts", "two.jsonl", "--latents", "9", "--switch-frames", "9"], "outside of the clip"),
        (["--prompts", "nothing.txt", "--latents", "9"], "No such file"),
        (["--prompts", "prompts.csv", "--latents", "9"], "give a .txt file"),
        (["--from", "two.jsonl", "--latents", "9"], "this is no snapshot"),
    ],
)
def test_wrong_input_gets_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    untrained_folder: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.jsonl").write_text('{"prompts": ["a red ball", "a blue cube"]}\n')
    code, out, err = run(capsys, "generate", *arguments, "--out", "out", "--model", untrained_folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not list(tmp_path.rglob("*.mp4"))


def test_many_videos_need_a_folder(capsys: pytest.CaptureFixture[str], interactive: Path, tmp_path: Path) -> None:
    arguments = ("generate", "--prompts", interactive, "--switch-frames", "3, 6", "--latents", 9)
    for out in (interactive, tmp_path / "clip.mp4"):
        code, _, err = run(capsys, *arguments, "--out", out)
        assert (code, f"--out {out} is not a folder" in err) == (2, True)


def test_a_line_of_a_file_can_be_made_again_alone_with_its_seed(
    capsys: pytest.CaptureFixture[str], same_numbers: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text(f"{BALL}\n{CUBE}\n")
    arguments = ("--latents", 6, *same_numbers)
    run(capsys, "generate", "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "all", *arguments)
    run(capsys, "generate", "--prompt", CUBE, "--seed", 1000, "--out", tmp_path / "alone.mp4", *arguments)
    assert alike(frames_in(tmp_path / "alone.mp4"), frames_in(tmp_path / "all" / "1-0.mp4"))
    assert not alike(frames_in(tmp_path / "alone.mp4"), frames_in(tmp_path / "all" / "0-0.mp4"))
