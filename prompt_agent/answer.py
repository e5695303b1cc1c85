"""What a language model answers: a JSON object of `added` and `prompt`, in this order."""

from __future__ import annotations


def answer_pattern(letters: str, added: tuple[int, int], prompt: tuple[int, int]) -> str:
    """A regular expression for it. Least and most letters of each, of a set of which JSON has to escape none.

    A pattern of the whole, and no JSON schema: xgrammar 0.2.8 cannot compile the schema of a long bounded string.
    """
    first, second = (f"{letters}{{{least},{most}}}" for least, most in (added, prompt))
    return rf'\{{"added":"{first}","prompt":"{second}"\}}'
