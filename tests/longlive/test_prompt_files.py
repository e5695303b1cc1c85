from __future__ import annotations

from pathlib import Path

import pytest

from longlive.clip import Clip, Latents, Switch
from longlive.errors import InputError
from longlive.prompt_files import PromptLine, parse_switch_frames, read_prompt_file


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_text_file_has_a_prompt_on_each_line(tmp_path: Path) -> None:
    file = read_prompt_file(written(tmp_path, "prompts.txt", "a red ball\n\n  a blue cube \n"))
    assert file.lines == (PromptLine(1, ("a red ball",)), PromptLine(3, ("a blue cube",)))
    assert file.segments == 1
    assert file.clips(Latents(120)) == [Clip("a red ball", Latents(120)), Clip("a blue cube", Latents(120))]


def test_a_json_line_has_the_prompts_of_a_video_and_the_file_is_told_when_they_change(tmp_path: Path) -> None:
    lines = '{"prompts": ["a ball", "it rains", "it snows"]}\n{"prompts": ["a cube", "by day", "at night"], "id": 7}\n'
    file = read_prompt_file(written(tmp_path, "interactive.jsonl", lines))
    assert file.segments == 3
    assert file.clips(Latents(240), parse_switch_frames("40, 80")) == [
        Clip("a ball", Latents(240), (Switch(Latents(40), "it rains"), Switch(Latents(80), "it snows"))),
        Clip("a cube", Latents(240), (Switch(Latents(40), "by day"), Switch(Latents(80), "at night"))),
    ]


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.TXT"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_prompt(tmp_path: Path, name: str) -> None:
    file = read_prompt_file(written(tmp_path, name, b"\xef\xbb\xbfa red ball\r\n\r\na blue cube\r\n"))
    assert [line.prompts for line in file.lines] == [("a red ball",), ("a blue cube",)]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    content = '{"prompts": ["a ball\u2028that hops\x85high"]}\n'
    file = read_prompt_file(written(tmp_path, "interactive.jsonl", content))
    assert [line.prompts for line in file.lines] == [("a ball\u2028that hops\x85high",)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "a ball", r"p\.csv: give a \.txt file"),
        ("p.txt", "", "p.txt: the file is empty; write a prompt"),
        ("p.txt", "\r\n \n", "the file is empty"),
        ("p.txt", b"a ball\na caf\xe9\n", "p.txt, line 2: this is not UTF-8; save"),
        ("p.txt", "a ball".encode("utf-16"), "line 1: this is not UTF-8"),
        ("p.txt", "a ball".encode("utf-16-le"), "line 1: this is no text"),
        ("p.jsonl", '{"prompts": ["a"]}\n\na ball\n', r"p\.jsonl, line 3: this is not JSON .*; write \{"),
        ("p.jsonl", "[" * 100_000, "line 1: this is not JSON"),
        ("p.jsonl", '["a", "b"]', "line 1: there is no list of prompts; write"),
        ("p.jsonl", '{"prompt": "a"}', "line 1: there is no list of prompts"),
        ("p.jsonl", '{"prompts": "a"}', "line 1: there is no list of prompts"),
        ("p.jsonl", '{"prompts": []}', "line 1: there is no list of prompts"),
        ("p.jsonl", '{"prompts": ["a", 5]}', "line 1: prompt 2 is 5; write what the video shows"),
        ("p.jsonl", '{"prompts": ["a", " "]}', 'line 1: prompt 2 is " "'),
        ("p.jsonl", '{"prompts": ["\\ud83d"]}', "line 1: prompt 1 holds half a character"),
        ("p.jsonl", '{"prompts": ["a", "b"]}\n\n{"prompts": ["a"]}', "line 3: it has 1 prompts and line 1 has 2; give"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line_and_what_to_do(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_prompt_file(written(tmp_path, name, content))


def test_a_file_that_is_not_there_is_an_error_of_its_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_prompt_file(tmp_path / "nothing.txt")


def test_there_is_one_switch_frame_fewer_than_prompts(tmp_path: Path) -> None:
    single = read_prompt_file(written(tmp_path, "p.txt", "a ball"))
    with pytest.raises(InputError, match="leave the 2 switch frames out"):
        single.clips(Latents(120), (40, 80))
    triple = read_prompt_file(written(tmp_path, "p.jsonl", '{"prompts": ["a", "b", "c"]}'))
    for frames in ((), (40,), (40, 80, 120)):
        with pytest.raises(InputError, match=f'2 switch frames are needed and not {len(frames)}.*"40, 80"'):
            triple.clips(Latents(120), frames)


def test_switch_frames_are_whole_numbers_that_increase() -> None:
    assert parse_switch_frames("40, 80, 120, 160, 200") == (40, 80, 120, 160, 200)
    assert parse_switch_frames(" 0,7,") == (0, 7)
    for text in ("", ",", "40,,80", ",40", "40,,", "40 80", "4.5", "soon", "80, 40", "40, 40", "-3, 40"):
        with pytest.raises(InputError, match="give latent frames that increase"):
            parse_switch_frames(text)
