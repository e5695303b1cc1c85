"""What the safety hook refuses, rewrites and lets pass; and the list of words that an operator edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_agent.safety import SafetyError, Verdict, WordList

OWN = """
[[refuse]]
reason = "No rivals here."
words = ["acme*", "big ... logo"]

[rewrite]
"damn" = ""
"cola" = "drink"
"""


@pytest.fixture
def own(tmp_path: Path) -> WordList:
    path = tmp_path / "words.toml"
    path.write_text(OWN)
    return WordList(path)


@pytest.mark.parametrize("text", ["a porn film", "PORN", "p\u200born", "pörn", "behead the knight", "a naked woman"])
async def test_the_default_list_refuses_with_a_reason(text: str) -> None:
    assert (await WordList().judge(text)).reason.endswith("is refused.")


@pytest.mark.parametrize(
    "text", ["make it rain", "a grapefruit", "Essex and Middlesex", "a category five storm", "a rapeseed field"]
)
async def test_words_that_hold_others_pass(text: str) -> None:
    assert await WordList().judge(text) == Verdict(text)


async def test_the_operators_own_words_are_refused_and_rewritten(own: WordList) -> None:
    assert (await own.judge("an AcmeCar")).reason == "No rivals here."
    assert (await own.judge("a logo that is big")).reason == "No rivals here."
    assert await own.judge("a big dog") == Verdict("a big dog")
    assert await own.judge("a damn Cola can") == Verdict("a drink can")
    assert (await own.judge("porn")).reason == "", "their list stands in place of the default"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("refuse = 3", "wrong at refuse"),
        ("[[refuse]]\nwords = ['a']", "wrong at refuse.0.reason"),
        ("[rewrites]", "wrong at rewrites"),
        ("no toml", "is no TOML"),
    ],
)
def test_a_list_that_is_wrong_is_told_so(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text)
    with pytest.raises(SafetyError, match=says):
        WordList(path)


def test_a_list_that_is_missing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match="cannot be read"):
        WordList(tmp_path / "none.toml")
