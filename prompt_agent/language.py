"""Whether a few words are English: a guess, made to let English pass."""

from __future__ import annotations

import unicodedata
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

# So little, for "stop" and "zoom in" could be Dutch or Polish as well, while "noche" could never be English.
_LEAST = 0.1
_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "zh", "ja", "ko", "ru", "ar")


def is_english(text: str) -> bool:
    """Whether the text may be English. One without letters is not."""
    letters = [letter for letter in text if letter.isalpha()]
    if not letters or any(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters):
        return False
    return any(language == "en" and share >= _LEAST for language, share in _identifier().rank(text.lower()))


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(_LANGUAGES))
    return identifier
