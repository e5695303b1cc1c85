from __future__ import annotations

import pytest
import torch

from longlive.errors import InputError
from longlive.evaluation.trial import Script, border_from, film, play, require_world, windows
from longlive.model import Model
from longlive.stream import VideoStream


def started(model: Model) -> VideoStream:
    return VideoStream(model, model.encode(["a red ball"]), 3)


def test_a_script_is_of_held_out_scenes_each_two_attributes_from_the_last() -> None:
    script = Script.draw(7, 4)
    assert len(script.scenes) == len(script.captions) == 4
    assert all(scene.held_out() for scene in script.scenes)
    changes = [len(a.changed(b)) for a, b in zip(script.scenes, script.scenes[1:], strict=False)]
    assert changes == [2, 2, 2]
    assert Script.draw(7, 4) == script != Script.draw(8, 4)


def test_a_switch_shows_from_the_first_chunk_that_begins_no_earlier(untrained: Model) -> None:
    config = untrained.config
    chunks = [config.first_frame(chunk) for chunk in range(20)]
    border = border_from(config, 5.0)
    assert border == min(frame for frame in chunks if frame >= 80)
    assert border_from(config, border / config.fps) == border


def test_windows_are_those_frames_of_the_whole_film(untrained: Model) -> None:
    whole = film(started(untrained), 40)
    ends = [12, 13, 30, 40]
    for end, window in zip(ends, windows(started(untrained), ends, 12), strict=True):
        assert torch.equal(window, whole[end - 12 : end])


def test_a_film_goes_on_with_the_next_chunk(untrained: Model) -> None:
    stream, config = started(untrained), untrained.config
    first = film(stream, config.first_frame(2))
    assert torch.equal(torch.cat((first, film(stream, 5))), film(started(untrained), config.first_frame(2) + 5))


def test_the_same_video_comes_of_the_same_seed_and_only_what_follows_the_switch_of_its_mode(untrained: Model) -> None:
    script = Script.draw(1, 2)
    (keep, borders), (again, _), (clear, _) = (play(untrained, script, 1, 1.0, m) for m in ("keep", "keep", "clear"))
    (border,) = borders
    assert len(keep) == border + 16
    assert torch.equal(keep, again)
    assert torch.equal(keep[:border], clear[:border])
    assert not torch.equal(keep[border:], clear[border:])


def test_no_seeds_are_refused(untrained: Model) -> None:
    with pytest.raises(InputError, match="no seeds"):
        require_world(untrained, range(0))
