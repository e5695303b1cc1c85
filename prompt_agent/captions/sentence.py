"""Values as words: the caption of a scene, and the name of a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prompt_agent.profile import CaptionProfile
from prompt_agent.validation import words_of

SUBJECT = ("colour", "kind")
VERB = "motion"
THING = "thing"  # a subject of which only the colour is known
IT = "it"  # one of which nothing is known


def caption(profile: CaptionProfile, values: Mapping[str, str]) -> str:
    """Every known value once, the subject first; what is not known is not said."""
    said = {name: profile.attributes[name].captions[values[name]] for name in profile.order if name in values}
    subject = [said[name] for name in profile.order if name in SUBJECT and name in said]
    if subject and SUBJECT[1] not in said:
        subject.append(THING)
    words = [with_article(" ".join(subject))] if subject else [IT] if VERB in said else []
    return " ".join([*words, *(said[name] for name in profile.order if name in said and name not in SUBJECT)])


def named(profile: CaptionProfile, attribute: str, value: str) -> str:
    """A value as a change: `blue`, `a cube`, `it moves left`, `night`."""
    words = profile.attributes[attribute].captions[value]
    if attribute == SUBJECT[1]:
        return with_article(words)
    if attribute == VERB:
        return f"{IT} {words}"
    if attribute in SUBJECT:
        return words
    # The rest are phrases of a preposition: "in the rain" is rain.
    return words.partition(" ")[2].removeprefix("the ") or words


def vocabulary(profile: CaptionProfile) -> frozenset[str]:
    """Every word that a caption may hold."""
    said = (words for each in profile.attributes.values() for words in each.captions.values())
    return frozenset(word for words in said for word in words_of(words)) | {"a", "an", "the", THING, IT}


def choices(profile: CaptionProfile, attributes: Iterable[str]) -> str:
    """What the attributes may be, for people: `colour: red or blue; time: by day or at night`."""
    return "; ".join(f"{name}: {_either(tuple(profile.attributes[name].captions.values()))}" for name in attributes)


def with_article(words: str) -> str:
    return f"{'an' if words[:1] in 'aeiou' else 'a'} {words}"


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
