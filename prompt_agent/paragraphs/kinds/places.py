"""Another place: whoever the scene is about is there, and what belonged to the old place goes."""

from __future__ import annotations

import re
from dataclasses import replace

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import join, lemmas, sentence, tokens_of
from prompt_agent.paragraphs.kinds.states import states_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import PRONOUN, are, bare, head_of, indefinite, is_place, is_subject, with_article
from prompt_agent.paragraphs.scene import (
    Scene,
    has_verb,
    is_impersonal,
    is_indoor,
    mentions,
    nouns_of,
    starts_with_pronoun,
)
from prompt_agent.paragraphs.surgery import cut_out
from prompt_agent.validation import words_of

_SET_TO = r"(?:to|into|in|on|at|inside|onto|under|beside|outside|by|near)"
_MOVE = re.compile(
    rf"^(?:move|go|take|bring|put|set|transport|relocate|travel|teleport|send|place|walk|switch|head|shift|drop|"
    rf"have|get|let)\s+"
    rf"(?:(?P<who>.+?)\s+)?(?:be\s+|go\s+|back\s+|over\s+|off\s+|happen\s+|take place\s+)*(?P<how>{_SET_TO})"
    rf"\s+(?P<place>.+)$",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"^(?:(?:change|switch|set|make|move|turn|replace)\s+)?(?:the\s+)?"
    r"(?:setting|scene|background|location|place|backdrop|scenery|environment|surroundings)\s+"
    r"(?:is\s+|are\s+|should be\s+|becomes?\s+|turns into\s+|be\s+)?(?:(?P<how>to|into|in|on|at|of|with|like)"
    r"\s+)?(?P<place>.+)$",
    re.IGNORECASE,
)
_ARE_IN = re.compile(
    rf"^(?:(?:{PRONOUN}|we|the scene|everything|this|make it|set it|let it be|have it|make this|all of it|it "
    rf"all)\s*(?:is|are|be|"
    rf"takes? place|happens?|should be|was|were|could be)?\s+)?(?P<how>{_SET_TO})\s+(?P<place>.+)$",
    re.IGNORECASE,
)
_MAKE = re.compile(
    r"^(?:make (?:it|this|the place|the scene)(?:\s+look)?(?:\s+like)?|let it be|turn (?:it|this|the scene) into)"
    r"\s+(?P<place>.+)$",
    re.IGNORECASE,
)
_UNDER_WATER = re.compile(r"\bunder\s?water$", re.IGNORECASE)
_FEW = 7
_IN = {"on", "at", "inside", "under", "in", "beside", "onto", "outside", "by", "near"}


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """`move to the beach`, `now they are in a library`, `make it a snowy mountain road`."""
    text = _UNDER_WATER.sub("under deep water", text)
    if text.endswith("under deep water") and len(words) < _FEW:
        return Change(Kind.place, words="under deep water")
    if found := _SETTING.match(text):
        place = found["place"]
        if states := states_of(place):
            return Change(Kind.state, words=text, states=states)
        if all(tag in "ABC" for tag in tags(tokens_of(place))) or has_verb(place):
            return None
        return Change(Kind.place, words=place)
    for pattern in (_MOVE, _ARE_IN):
        found = pattern.match(text)
        if not found or not _is_setting(found["place"]):
            continue
        who = found["who"] if pattern is _MOVE else None
        if who and not is_subject(who, scene):
            continue
        if words[0] in ("let", "get", "have", "walk") and not who:
            continue
        how = found["how"].lower()
        return Change(Kind.place, words=found["place"] if how in ("to", "into", "in") else f"{how} {found['place']}")
    found = _MAKE.match(text)
    subject = lemmas(scene.subject.head) if scene.subject else frozenset[str]()
    if found and _is_setting(found["place"]) and not lemmas(head_of(bare(found["place"]))) & subject:
        return Change(Kind.place, words=found["place"])
    return None


def _is_setting(phrase: str) -> bool:
    """Whether a phrase names a place where a scene may be, rather than a spot in it."""
    head = head_of(bare(phrase))
    return (
        is_place(phrase)
        or bool({"indoor", "outdoor", "underground", "underwater"} & set(words_of(phrase)))
        or head in lexicon().words["place_names"]
        or bool(
            re.search(r"\bin\s+(?:the\s+)?(?:\w+\s+)?(\w+)$", phrase)
            and tokens_of(phrase)[-1].lower() in lexicon().words["place_names"]
        )
    )


def edit(scene: Scene, change: Change) -> Edit:
    """The first sentence in the new place; of the others those about the subject, the weather and the style."""
    tokens = tokens_of(change.words)
    how = ""
    if tokens[0].lower() in _IN and len(tokens) > 1:
        how, tokens = tokens[0].lower(), tokens[1:]
    phrase = with_article(join(tokens), definite=True)
    head = head_of(bare(phrase))
    inside = lexicon().inside
    if not how or how in ("on", "at", "onto", "in"):
        how = next((at for at in ("on", "at") if lemmas(head) & inside[at]), how if how and how != "onto" else "in")
    where = f"{how} {phrase}"
    subject = scene.subject
    first = scene.sentences[0] if scene.sentences else ""
    if subject and subject.kind != "place":
        who = indefinite(subject.phrase, subject.plural, subject.proper)
        first = moved(first, where) or sentence(f"{who} {'are' if subject.plural else 'is'} {where}")
    else:
        first = sentence(f"The scene shows {with_article(join(tokens))}")
    words = lexicon().words
    new = {lemma for token in tokens for lemma in lemmas(token)}
    old = (words["outdoor"] | words["indoor"] | words["belongings"] | words["place_names"]) - new
    kept = [text for text in scene.sentences[1:] if _about(text, scene) or _is_ours(text)]
    more = old | (_surroundings(scene, kept) - new)
    left = [
        cut_out(text, lambda word: bool(lemmas(word) & old))
        if _is_ours(text)
        else cut_out(text, lambda word: bool(lemmas(word) & more))
        for text in kept
    ]
    left = [text for text in left if not text.endswith(_ALL_AROUND)]
    alone = not phrase[:1].islower() or head in lexicon().words["mass"]
    shown = _place_alone(phrase)
    head = head_of(bare(shown))
    named = bare(shown) if alone else f"the {bare(shown)}"
    made = scene.with_sentences([first, *left])
    news = (sentence(f"{named} {are(head)}{_ALL_AROUND[:-1]}"),)
    return Edit(replace(made, indoor=is_indoor(f"{made.text} {where}")), news, where)


def _place_alone(phrase: str) -> str:
    """The place itself: `a park` of `a picnic blanket in a park`."""
    parts = re.split(r"\s+(?:in|on|at|near|by|under|beside|with)\s+", phrase)
    return next((part for part in reversed(parts) if is_place(part) and part[:1].islower()), parts[0])


def _surroundings(scene: Scene, kept: list[str]) -> frozenset[str]:
    """The nouns of the sentences that are not about whom the scene is about: they belong to the old place."""
    words = lexicon().words
    gone = {noun for text in scene.sentences[1:] if text not in kept for noun in nouns_of(text)}
    own = words["parts"] | words["wearables"] | words["light_words"] | words["style_words"] | words["coverings"]
    return frozenset(gone) - own - (lemmas(scene.subject.head) if scene.subject else frozenset())


_ALL_AROUND = " all around."


def _about(text: str, scene: Scene) -> bool:
    if starts_with_pronoun(text) or is_impersonal(text):
        return True
    return bool(scene.subject and mentions(text, lemmas(scene.subject.head)))


def _is_ours(text: str) -> bool:
    words = lexicon().words["style_words"]
    kept = any(text in state.lines for state in lexicon().states.values() if state.attribute != "light")
    return kept or mentions(text, words)


def moved(text: str, where: str) -> str:
    """A first sentence with its place replaced; what hangs on the old one goes. Empty if it has no verb."""
    tokens = tokens_of(text)
    parts = tags(tokens)
    words = lexicon().words
    places = words["outdoor"] | words["indoor"] | words["place_names"]
    done = False
    place = 0
    out: list[str] = []
    while place < len(tokens):
        if parts[place] == "P" and tokens[place].lower() not in ("of", "with"):
            end = _end_of_place(tokens, parts, place, places)
            if any(lemmas(word) & places for word in tokens[place:end]):
                if not done:
                    put = tokens_of(where)
                    out.extend(put if out else [put[0].capitalize(), *put[1:]])
                    done = True
                elif out and out[-1] == ",":
                    out.pop()
                place = end
                if place < len(tokens) and parts[place] == "E":  # "covered in deep snow"
                    while place < len(tokens) and parts[place] not in "MLCV":
                        place += 1
                continue
        out.append(tokens[place])
        place += 1
    segments = join(out).split(", ")
    kept = segments[:1] + [each for each in segments[1:] if not (mentions(each, places) and where not in each)]
    made = ", ".join(kept)
    if not done:
        main = made.split(",")[0].rstrip(".")
        if not has_verb(main) and not re.search(r"ing\b", main):
            return ""
        made = ", ".join([f"{_without_spot(main)} {where}", *made.split(", ")[1:]])
    return sentence(made)


def _without_spot(main: str) -> str:
    """A clause without the spot that it ends with: `stands on a wooden table` as `stands`."""
    tokens = tokens_of(main)
    parts = tags(tokens)
    words = lexicon().words
    spots = [place for place, token in enumerate(tokens) if token.lower() in ("on", "in", "at", "beside", "near", "by")]
    if not spots or "V" not in parts[: spots[-1]] or set(parts[spots[-1] + 1 :]) - set("DAN"):
        return main
    noun = lemmas(tokens[-1])
    if noun & (words["wearables"] | words["parts"] | words["times"]):
        return main
    return join(tokens[: spots[-1]])


def _end_of_place(tokens: list[str], parts: list[str], start: int, places: frozenset[str]) -> int:
    end = start + 1
    while end < len(tokens) and parts[end] in "PDAN":
        hangs = parts[end] == "P" and parts[end - 1] == "N" and tokens[end].lower() in ("with", "at", "in")
        if hangs and not any(lemmas(word) & places for word in tokens[end : end + 4]):
            break
        end += 1
    return end
