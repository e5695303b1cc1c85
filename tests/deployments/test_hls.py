"""A playlist of fragments: what RFC 8216bis asks of it, and what it says when some are missing."""

from __future__ import annotations

import re

import pytest

from deployments import hls
from deployments.fragments import KEPT, Fragment
from deployments.session import chunk_first_frame, chunk_frames

FPS = 16


def kept(*chunks: int) -> list[Fragment]:
    return [
        Fragment("s", chunk, 1, chunk_first_frame(chunk), chunk_frames(chunk), "c", bytes([chunk])) for chunk in chunks
    ]


def tags(text: str, name: str) -> list[str]:
    return re.findall(rf"^#EXT-X-{name}:(.*)$", text, re.MULTILINE)


def segments(text: str) -> list[tuple[float, str]]:
    return [(float(seconds), uri) for seconds, uri in re.findall(r"#EXTINF:([\d.]+),\n(\S+)", text)]


def parts(text: str) -> list[str]:
    return [re.findall(r'URI="(\d+\.\d+)\.m4s"', part)[0] for part in tags(text, "PART")]


def test_places_and_chunks_are_each_others_inverse() -> None:
    assert [hls.place(chunk) for chunk in range(7)] == [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)]
    assert all(hls.chunk_at(*hls.place(chunk)) == chunk for chunk in range(100))
    assert [list(hls.chunks_of(segment)) for segment in range(3)] == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert hls.chunk_at(0, 1) == hls.chunk_at(1, 0), "a part behind the last is the next segment's first"


def test_a_whole_playlist() -> None:
    assert hls.playlist(kept(0, 1, 2), FPS) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:9\n"
        "#EXT-X-TARGETDURATION:3\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=2.25000\n"
        "#EXT-X-PART-INF:PART-TARGET=0.75000\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="../init.mp4"\n'
        '#EXT-X-PART:DURATION=0.56250,URI="0.0.m4s",INDEPENDENT=YES\n'
        "#EXTINF:0.56250,\n"
        "0.m4s\n"
        '#EXT-X-PART:DURATION=0.75000,URI="1.0.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PART:DURATION=0.75000,URI="1.1.m4s",INDEPENDENT=YES\n'
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="1.2.m4s"\n'
    )


@pytest.mark.parametrize("fps", [1, 8, 16, 24])
@pytest.mark.parametrize("newest", [0, 1, 4, 5, 30, 31, 32, 33, 34, 250])
def test_every_playlist_keeps_the_rules(newest: int, fps: int) -> None:
    fragments = kept(*range(max(0, newest - KEPT + 1), newest + 1))
    text = hls.playlist(fragments, fps)
    target, part_target = int(tags(text, "TARGETDURATION")[0]), 12 / fps
    listed = segments(text)
    assert all(round(seconds) <= target for seconds, _ in listed)
    first = int(tags(text, "MEDIA-SEQUENCE")[0])
    assert [uri for _, uri in listed] == [f"{first + n}.m4s" for n in range(len(listed))]
    assert len(listed) == hls.LISTED or first == 0
    for part in tags(text, "PART"):
        name, seconds = re.findall(r"URI=\"(.*)\.m4s\"", part)[0], float(re.findall(r"DURATION=([\d.]+)", part)[0])
        last_of_segment = name in ("0.0", f"{name.partition('.')[0]}.3")
        assert seconds <= part_target + 1e-5
        assert seconds >= 0.85 * part_target or last_of_segment
    assert parts(text)[-1] == "{}.{}".format(*hls.place(newest))
    assert f'TYPE=PART,URI="{"{}.{}".format(*hls.place(newest + 1))}.m4s"' in text
    assert all(hls.segment_data(int(uri.partition(".")[0]), fragments) for _, uri in listed), "what is listed is there"


def test_what_has_left_the_playlist_can_be_had_for_as_long_as_it_was_in() -> None:
    text = hls.playlist(kept(*range(1, 33)), FPS)
    first = int(tags(text, "MEDIA-SEQUENCE")[0])
    left = [segment for segment in range(first) if hls.segment_data(segment, kept(*range(1, 33)))]
    assert len(left) >= hls.LISTED - 1


def test_a_playlist_begins_with_a_segment_that_is_all_here() -> None:
    assert segments(hls.playlist(kept(6, 7, 8, 9, 10), FPS)) == []
    text = hls.playlist(kept(6, 7, 8, *range(9, 14)), FPS)
    assert segments(text) == [(3.0, "3.m4s")]
    assert tags(text, "MEDIA-SEQUENCE") == ["3"]
    assert parts(text) == ["3.0", "3.1", "3.2", "3.3", "4.0"]


def test_nothing_yet_is_a_playlist_too_that_hints_at_what_comes() -> None:
    text = hls.playlist([], FPS)
    assert segments(text) == []
    assert tags(text, "PRELOAD-HINT") == ['TYPE=PART,URI="0.0.m4s"']
    joined = hls.playlist(kept(6), FPS)
    assert tags(joined, "MEDIA-SEQUENCE") == ["3"]
    assert tags(joined, "PRELOAD-HINT") == ['TYPE=PART,URI="3.0.m4s"']


def test_a_missing_fragment_is_a_gap_of_its_length() -> None:
    fragments = kept(5, 6, 8, 9)
    text = hls.playlist(fragments, FPS)
    assert '#EXT-X-PART:DURATION=0.75000,URI="2.2.m4s",GAP=YES' in text
    assert "#EXT-X-GAP\n#EXTINF:3.00000,\n2.m4s" in text
    assert hls.segment_data(2, fragments) is None
    assert text.count("GAP=YES") == 1


def test_the_end_completes_the_last_segment_and_hints_at_nothing() -> None:
    fragments = kept(*range(7))
    text = hls.playlist(fragments, FPS, over=True)
    assert segments(text) == [(0.5625, "0.m4s"), (3.0, "1.m4s"), (1.5, "2.m4s")]
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "PRELOAD-HINT" not in text
    assert hls.segment_data(2, fragments, over=True) == bytes([5, 6])
    assert hls.segment_data(2, fragments) is None
    exact = hls.playlist(kept(*range(5)), FPS, over=True)
    assert segments(exact) == [(0.5625, "0.m4s"), (3.0, "1.m4s")]


def test_a_segment_is_its_parts_and_nothing_of_others() -> None:
    fragments = kept(*range(3, 12))
    assert hls.segment_data(2, fragments) == bytes([5, 6, 7, 8])
    assert hls.segment_data(1, fragments) is None, "its first parts are gone"
    assert hls.segment_data(3, fragments) is None, "its last part is to come"
    assert hls.segment_data(99, fragments) is None
