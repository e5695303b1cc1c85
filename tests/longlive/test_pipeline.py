from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import pytest
import torch

from longlive.clip import Clip, Seconds, Switch
from longlive.errors import CheckpointError, InputError
from longlive.model import Model
from longlive.pipeline import generate, load_model
from longlive.precision import choose_dtype
from longlive.stream import VideoStream
from longlive.switch import SwitchName
from longlive.video_file import VideoFile

BALL, CUBE = "a red ball moves left in the desert", "a blue cube hops on the sea at night"


def clip(prompt: str, seconds: float, switches: Sequence[tuple[float, str]] = (), seed: int = 0) -> Clip:
    return Clip(prompt, Seconds(seconds), tuple(Switch(Seconds(at), text) for at, text in switches), seed)


def frames_of(
    model: Model,
    prompt: str,
    seconds: float,
    switches: Sequence[tuple[float, str]] = (),
    *,
    seed: int = 0,
    mode: SwitchName = "recache",
) -> torch.Tensor:
    return torch.cat(list(generate(model, clip(prompt, seconds, switches, seed), mode)))


def test_a_stream_gives_9_frames_and_then_12_for_each_chunk(untrained: Model) -> None:
    stream = VideoStream(untrained, untrained.encode([BALL]), seed=1)
    shapes, starts = [], []
    for _ in range(3):
        starts.append((stream.chunk, stream.frame))
        frames = stream.next_frames()
        shapes.append(tuple(frames.shape))
        assert frames.dtype == torch.uint8
    assert shapes == [(9, 64, 64, 3), (12, 64, 64, 3), (12, 64, 64, 3)]
    assert starts == [(0, 0), (1, 9), (2, 21)]


def test_frames_depend_on_prompt_and_seed_and_on_nothing_else(untrained: Model) -> None:
    frames = frames_of(untrained, BALL, 1.0, seed=1)
    assert torch.equal(frames, frames_of(untrained, BALL, 1.0, seed=1))
    assert not torch.equal(frames, frames_of(untrained, BALL, 1.0, seed=2))
    assert not torch.equal(frames, frames_of(untrained, CUBE, 1.0, seed=1))


def test_streams_that_alternate_give_what_each_gives_alone(untrained: Model) -> None:
    prompts = untrained.encode([BALL]), untrained.encode([CUBE])
    alone = []
    for seed, prompt in enumerate(prompts):
        stream = VideoStream(untrained, prompt, seed)
        alone.append([stream.next_frames() for _ in range(3)])
    first, second = (VideoStream(untrained, prompt, seed) for seed, prompt in enumerate(prompts))
    for chunk in range(3):
        assert torch.equal(first.next_frames(), alone[0][chunk])
        assert torch.equal(second.next_frames(), alone[1][chunk])


def test_a_clip_has_as_many_frames_as_its_seconds(untrained: Model) -> None:
    assert [len(frames_of(untrained, BALL, seconds)) for seconds in (0.1, 0.5, 1.0, 2.03)] == [2, 8, 16, 32]


@pytest.mark.parametrize("mode", ["recache", "keep", "clear"])
def test_a_switch_changes_the_frames_from_the_next_chunk_on_and_none_before(untrained: Model, mode: str) -> None:
    plain = frames_of(untrained, BALL, 2.5, seed=1)
    switched = frames_of(untrained, BALL, 2.5, seed=1, switches=[(1.0, CUBE)], mode=mode)
    assert torch.equal(switched[:21], plain[:21])  # second 1.0 is frame 16; the next chunk starts at frame 21
    assert not torch.equal(switched[21:33], plain[21:33])


def test_of_switches_due_at_the_same_chunk_the_latest_wins(untrained: Model) -> None:
    switches = [(1.2, CUBE), (1.1, "a pink donut")]
    assert torch.equal(
        frames_of(untrained, BALL, 2.0, switches=switches), frames_of(untrained, BALL, 2.0, switches=[(1.0, CUBE)])
    )


@pytest.mark.parametrize(
    ("prompt", "seconds", "switches"),
    [
        (" ", 1.0, []),
        (BALL, 0.0, []),
        (BALL, float("nan"), []),
        (BALL, float("inf"), []),
        (BALL, 1.0, [(1.0, CUBE)]),
        (BALL, 1.0, [(-1.0, CUBE)]),
        (BALL, 1.0, [(float("nan"), CUBE)]),
        (BALL, 1.0, [(0.5, "")]),
        (BALL, 1e308, []),
    ],
)
def test_a_clip_that_makes_no_sense_is_refused_at_once(
    untrained: Model, prompt: str, seconds: float, switches: list[tuple[float, str]]
) -> None:
    with pytest.raises(InputError, match=r"give|say"):
        generate(untrained, clip(prompt, seconds, switches))


@pytest.mark.parametrize(("seconds", "latest"), [(0.5, 0.0), (0.6, 9 / 16), (1.3, 9 / 16), (3.0, 45 / 16)])
def test_a_switch_that_no_chunk_of_the_clip_could_show_is_refused(
    untrained: Model, seconds: float, latest: float
) -> None:
    generate(untrained, clip(BALL, seconds, [(latest, CUBE)]))
    with pytest.raises(InputError, match=f"give a time up to {latest:g} s, or a longer clip"):
        generate(untrained, clip(BALL, seconds, [(latest + 0.01, CUBE)]))


def test_the_latest_switch_that_is_accepted_shows(untrained: Model) -> None:
    frames = round(1.4 * 16)
    switched = frames_of(untrained, BALL, 1.4, switches=[(21 / 16, CUBE)])
    plain = frames_of(untrained, BALL, 1.4)
    assert len(switched) == frames
    assert torch.equal(switched[:21], plain[:21])
    assert not torch.equal(switched[21:], plain[21:])


def test_words_the_model_does_not_know_change_nothing(untrained: Model) -> None:
    assert torch.equal(untrained.encode(["a red ball juggles!"]), untrained.encode(["a red ball"]))


def test_words_past_the_length_that_the_model_reads_are_named(untrained: Model) -> None:
    read = "a red ball " * 10
    assert untrained.cut_words(read) == []
    assert untrained.cut_words(f"{read} in the city at midnight juggling") == ["the", "city", "at", "midnight"]


def test_words_the_model_does_not_know_are_named(untrained: Model) -> None:
    assert untrained.unknown_words("a red ball juggles Unicorns in the desert.") == ["juggles", "Unicorns"]
    assert untrained.unknown_words(BALL) == []


def test_a_model_that_is_not_there_is_refused_with_the_names_that_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tiny"):
        load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tmp_path)


def test_the_number_format_is_one_of_the_two_that_the_engine_computes_in(untrained: Model) -> None:
    assert choose_dtype(untrained.config, torch.device("cpu")) in (torch.float32, torch.bfloat16)


def test_both_number_formats_show_nearly_the_same(untrained_folder: Path, untrained: Model) -> None:
    coarse = frames_of(load_model(untrained_folder, dtype=torch.bfloat16, device="cpu"), BALL, 0.5)
    assert (coarse.float() - frames_of(untrained, BALL, 0.5).float()).abs().mean() < 8


def test_a_video_file_holds_the_frames_at_the_models_rate(untrained: Model, tmp_path: Path) -> None:
    with VideoFile(tmp_path / "clip.mp4", 16, 64, 64) as video:
        for frames in generate(untrained, clip(BALL, 1.5)):
            video.write(frames)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 64, 64)
    assert times == pytest.approx([n / 16 for n in range(24)])


def test_a_video_file_that_cannot_be_written_is_refused_before_generation(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No such file.*no/clip"):
        VideoFile(tmp_path / "no" / "clip.mp4", 16, 64, 64)
    for name in ("clip.nothing", "clip.wav", "clip.gif", "clip.webm"):
        (tmp_path / name).write_bytes(b"precious")
        with pytest.raises(InputError, match=r"try \.mp4"):
            VideoFile(tmp_path / name, 16, 64, 64)
        assert (tmp_path / name).read_bytes() == b"precious"
