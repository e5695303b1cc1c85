"""Scale, angle, movement, speed and focus of the camera: the one kind of change that changes a scene's keywords."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import (
    DETERMINERS,
    PREPOSITIONS,
    PRONOUNS,
    inflected,
    is_plural,
    lemmas,
    sentence,
    tokens_of,
)
from prompt_agent.paragraphs.lexicon import CameraWording, lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import PRONOUN, bare, head_of, of_the_scene
from prompt_agent.paragraphs.scene import Scene, lemmas_in
from prompt_agent.paragraphs.wording import spaced
from prompt_agent.validation import words_of

_NO_CAMERA = frozenset({"add", "put", "give", "remove", "delete"})
_AT = frozenset(
    {"on", "onto", "at", "to", "into", "toward", "towards", "of", "around", "from", "over", "follow", "past"}
)
_ROOM = frozenset(
    [
        "camera",
        "shot",
        "view",
        "him",
        "her",
        "it",
        "them",
        "his",
        "their",
        "its",
        "face",
        "closer",
        "subject",
        "whole",
        "more",
        "use",
        "try",
        "from",
        "angle",
        "please",
        "point",
        "slowly",
        "back",
        "away",
        "scene",
        "thing",
        "everything",
        "side",
        "and",
        "then",
        "whole",
        "way",
        "little",
        "bit",
        "quickly",
        "gently",
        "around",
        "lens",
        "frame",
    ]
)
_SHOW = re.compile(
    r"^(?:show|see|look at|let us see)\s+(?:me\s+|us\s+)?(?P<thing>(?:his|her|its|their|the [\w ]+'s)\s+"
    r"(?:face|eyes?|hands?|fingers?|feet|mouth|head|paws?|hair|shoes|wings|tail))$",
    re.IGNORECASE,
)
_SHOWING = frozenset({"show", "film", "see", "view", "shoot", "look", "frame", "get", "bring", "watch", "capture"})
_MOVES_BY_ITSELF = re.compile(r"\bcamera\s+(?:\w+ly\s+)?\w+(?:s|ing)\b")
_SPLIT = re.compile(r"\s+(?:at|with|and|from(?=\s+(?:a|an)\b))\s+")
_WHENCE = re.compile(r"\s*\bfrom\s+(?:the\s+)?(?:behind|above|below|front|side|back|left|right|ground)\b")


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """Camera keywords, of each group one, if the request names nothing but the camera and what it is directed at."""
    if "camera" not in words and _is_of_a_thing(words):
        return None
    if shown := _SHOW.match(text):
        return Change(Kind.camera, words="close-up", where=shown["thing"].lower(), cameras=(_named("close-up"),))
    left = spaced(text)
    chosen: dict[str, CameraWording] = {}
    end = 0
    nouns = {word for before, word in pairwise(words) if before in DETERMINERS and lemmas(word) & lemmas_in(scene.text)}
    for ask, wording in _asks():
        place = left.find(ask)
        if place >= 0 and ask.strip() not in nouns and wording.group not in chosen:
            chosen[wording.group] = wording
            end = max(end, place + len(ask))
            left = left.replace(ask, " " + "|" * (len(ask) - 2) + " ")
    if not chosen and "camera" in words:
        found = next((wording for ask, wording in _plain_asks() if ask in _plain(text)), None)
        chosen = {found.group: found} if found else {}
        left = " | "
    if not chosen:
        return None
    allowed = lexicon().words["carriers"] | lexicon().words["camera_helpers"] | _ROOM
    seen = lemmas_in(scene.text)
    rest = [word for word in left.split() if word[0] != "|"]
    showing = words[0] in _SHOWING
    mark = left.find("|")
    ahead = set(left[:mark].split())
    strange = [
        word for word in rest if word not in allowed and (not lemmas(word) & seen or (word in ahead and not showing))
    ]
    target = _target(left[end:]) or _target(left)
    if strange and not (target and all(word in target.split() for word in strange) and len(strange) <= 2):
        return None
    if not _is_about_camera(text, chosen, rest, scene):
        return None
    order = sorted(chosen.values(), key=lambda wording: wording.group != "scale")
    return Change(Kind.camera, words=order[0].tail, where=target, cameras=tuple(order))


def _is_of_a_thing(words: list[str]) -> bool:
    """Whether a request begins as one about something in the scene does: `make the ...`, `add ...`."""
    if words[0] in ("a", "an"):
        return len(words) > _FEW
    handled = words[0] in ("make", "let", "have") and words[1:2] != ["it"]
    got = words[0] == "get" and len(words) > 1 and words[1] in (DETERMINERS | PRONOUNS) - {"it"}
    return words[0] in _NO_CAMERA or handled or got


_FEW = 4


def _is_about_camera(text: str, chosen: dict[str, CameraWording], rest: list[str], scene: Scene) -> bool:
    """`he moves closer` is about him; `zoom out so he moves closer` is not read."""
    if not rest or rest[0] not in ("he", "she", "they", "him", "her"):
        return True
    return re.match(rf"^(?:make|let|have)?\s*{PRONOUN}\b", text, re.IGNORECASE) is None


def _plain(text: str) -> str:
    """Spaced words without those that only say that it is the camera, and verbs in their base form."""
    moves = lexicon().words["camera_moves"]
    words = (next(iter(lemmas(word) & moves), word) for word in words_of(text) if word not in ("the", "camera", "a"))
    return f" {' '.join(words)} "


@cache
def _plain_asks() -> tuple[tuple[str, CameraWording], ...]:
    pairs = ((_plain(ask), wording) for ask, wording in _asks())
    return tuple(sorted((pair for pair in pairs if pair[0].strip()), key=lambda pair: -len(pair[0])))


def _named(tail: str) -> CameraWording:
    return next(wording for wording in lexicon().camera if wording.tail == tail)


@cache
def _classes() -> dict[str, frozenset[str]]:
    """The words of each property of the camera; of movement also whatever cameras do."""
    moves = {inflected(verb, tag) for verb in lexicon().words["camera_moves"] for tag in ("VBG", "VBZ")} - {"looks"}
    classes = dict(lexicon().camera_classes)
    classes["movement"] |= moves
    return classes


@cache
def _asks() -> tuple[tuple[str, CameraWording], ...]:
    """Every wording that asks for a keyword, the longest first."""
    pairs = [(spaced(ask), wording) for wording in lexicon().camera for ask in wording.ask]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


def _target(rest: str) -> str:
    """What the camera is directed at: `her hands` in `zoom in on her hands`."""
    words = [word for word in rest.split() if word[0] != "|"]
    while words and words[0] not in _AT and words[0] not in ("the", "his", "her", "its", "their"):
        words.pop(0)
    while words and words[0] in _AT:
        words.pop(0)
    phrase = " ".join(words)
    if not words or head_of(bare(phrase)) in ("shot", "view", "angle", "camera", "left", "right", "side", "scene"):
        return ""
    if re.fullmatch(PRONOUN, phrase) or "N" not in tags(["the", *tokens_of(bare(phrase))]) or words[-1] in PREPOSITIONS:
        return ""
    return phrase if len(words) <= 5 else ""


def edit(scene: Scene, change: Change) -> Edit:
    """The keywords of the same group go; the sentences of the scene that told of them go too."""
    tail = list(scene.tail)
    sentences = list(scene.sentences)
    news = []
    for wording in change.cameras:
        tail = _with_keyword(tail, wording)
        sentences = _without_group(sentences, wording)
        news.append(wording.say)
    if change.where:
        news.append(sentence(f"{of_the_scene(_definite(change.where), scene)} {_FILL[_many(change.where)]} the frame"))
    if not sentences and scene.sentences:
        sentences = [scene.sentences[0]]
    made = replace(scene, sentences=tuple(text for text in sentences if text), tail=tuple(tail))
    return Edit(made, tuple(news[-2:]), f"camera: {', '.join(each.tail for each in change.cameras)}")


_FILL = {False: "fills", True: "fill"}


def _definite(phrase: str) -> str:
    return phrase if phrase.split()[0] in ("the", "his", "her", "its", "their") else f"the {bare(phrase)}"


def _many(phrase: str) -> bool:
    return is_plural(head_of(bare(phrase)))


def _with_keyword(tail: list[str], wording: CameraWording) -> list[str]:
    kept = []
    for part in tail:
        for piece in _SPLIT.split(part):
            if wording.group in ("angle", "movement"):
                piece = _WHENCE.sub("", piece)
            piece = _without_words(piece, wording.group)
            if piece and piece not in wording.against:
                kept.append(piece)
    return [wording.tail, *kept] if wording.group == "scale" else [*kept, wording.tail]


def _without_words(piece: str, group: str) -> str:
    """A keyword without what it says of a group: `wide aerial shot` as `aerial shot`; empty if nothing else is left."""
    classes, plain = _classes(), lexicon().words["camera_plain"]
    if not set(words_of(piece)) & (classes[group] - {"lens"} if group != "scale" else classes[group] - plain):
        return "" if _group_of(piece) == group else piece.strip()
    left = [word for word in piece.split() if word.lower() not in classes[group] - plain]
    others = {word for name, words in classes.items() if name != group for word in words - plain}
    return " ".join(left) if {word.lower() for word in left} & others and _group_of(" ".join(left)) != group else ""


def _group_of(part: str) -> str:
    """Which property of the camera a keyword is about."""
    words = set(words_of(part))
    classes = _classes()
    for group in ("movement", "speed", "focus", "angle", "scale"):
        if words & (classes[group] - {"lens"}):
            if group == "movement" and words & {"angle"}:
                continue
            return group
    return ""


def _without_group(sentences: list[str], wording: CameraWording) -> list[str]:
    family = _classes()[wording.group] - lexicon().words["camera_plain"]
    lines = {other.say for other in lexicon().camera if other.group == wording.group}
    kept = []
    for place, text in enumerate(sentences):
        if text in lines:
            continue
        if "camera" not in text:
            kept.append(text)
            continue
        parts = [
            part
            for part in text.split(", ")
            if not re.search(r"\bcamera\b", part) or not (set(words_of(part)) & family or _MOVES_BY_ITSELF.search(part))
        ]
        made = sentence(", ".join(parts))
        kept.append(made or (text if not place else ""))
    return kept
