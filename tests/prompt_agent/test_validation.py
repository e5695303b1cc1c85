"""Every fault that any prompt can have is found, and a good prompt has none."""

from __future__ import annotations

import pytest

from prompt_agent.validation import FaultKind, form_faults, words_of

LEAKS = ("as before", "you are a")
BAD = {
    "two lines": ("a dog\non a hill runs fast", FaultKind.not_one_line),
    "blanks around it": (" a dog on a hill", FaultKind.not_one_line),
    "nothing": ("", FaultKind.not_one_line),
    "tags": ("a <b>dog</b> on a hill", FaultKind.characters),
    "another script": ("a dog on a 山 hill", FaultKind.characters),
    "a control character": ("a dog on a\x07 hill", FaultKind.characters),
    "a line that only some see": ("a dog on\u2028a hill", FaultKind.not_one_line),
    "a word without end": (f"a dog on a {'x' * 40}", FaultKind.characters),
    "too short": ("a dog", FaultKind.length),
    "too long": (" ".join(f"word{n}" for n in range(11)), FaultKind.length),
    "an earlier text": ("a dog runs as before here", FaultKind.leak),
    "a leak with other signs in it": ("a dog runs As, before here", FaultKind.leak),
    "a loop": ("a dog on a hill a dog on a hill", FaultKind.repetition),
}


@pytest.mark.parametrize(("text", "kind"), BAD.values(), ids=BAD)
def test_each_fault_is_found(text: str, kind: FaultKind) -> None:
    assert kind in {fault.kind for fault in form_faults(text, 3, 10, LEAKS)}


@pytest.mark.parametrize(
    "text", ["a dog on a hill", 'A "big" dog: wet (50%), and the cat\'s hat!', "you are aware of it"]
)
def test_a_good_prompt_has_no_fault(text: str) -> None:
    assert form_faults(text, 3, 10, LEAKS) == []


def test_words_are_counted_as_people_do() -> None:
    assert words_of("The dog's well-worn, wet coat!") == ["the", "dog's", "well-worn", "wet", "coat"]
