"""Whether a paragraph is an answer: the change made and seen, the scene kept, nothing that contradicts it."""

from __future__ import annotations

import re

from prompt_agent.expansion import Ask, Draft, NotUnderstood
from prompt_agent.paragraphs.change import Change, Kind
from prompt_agent.paragraphs.english import CLOSED, lemmas
from prompt_agent.paragraphs.kinds.states import wordings_of
from prompt_agent.paragraphs.lexicon import State, lexicon
from prompt_agent.paragraphs.parsed import is_incomplete
from prompt_agent.paragraphs.phrases import bare, head_of
from prompt_agent.paragraphs.plain_request import plain_request
from prompt_agent.paragraphs.reading import parse_change
from prompt_agent.paragraphs.scene import Scene, lemmas_in, nouns_of, parse_scene
from prompt_agent.paragraphs.wording import says
from prompt_agent.profile import ParagraphProfile
from prompt_agent.validation import Fault, FaultKind, form_faults, words_of

_SHARE_OF_ANCHORS = 0.4
_MOST_ANCHORS = 8


def judge(draft: Draft, ask: Ask, profile: ParagraphProfile) -> list[Fault]:
    """Every fault of a draft, whoever wrote it."""
    text = draft.prompt
    faults = form_faults(text, profile.min_words, profile.max_words, profile.leaks)
    if not re.search(r"[.!?]$", text.rstrip()):
        faults.append(Fault(FaultKind.unfinished, "its last sentence has no end"))
    scene = parse_scene(ask.scene, profile.camera, profile.leaks)
    try:
        change = parse_change(ask.request, scene, profile.leaks) if not ask.cut else None
    except NotUnderstood:
        change = None
    faults += [
        Fault(FaultKind.unfinished, f"{each!r} lacks an object")
        for each in re.split(r"(?<=[.!?])\s+", text)
        if is_incomplete(each) and each not in scene.sentences
    ]
    faults += _camera_faults(text, scene, change, profile)
    if ask.cut:
        return faults + _cut_faults(text, ask, profile)
    if words_of(text) == words_of(ask.scene):
        faults.append(Fault(FaultKind.not_reflected, "it is the scene, word for word"))
    if change:
        faults += _change_faults(text, scene, change)
    faults += _anchor_faults(text, scene, change)
    return faults + _contradictions(text, scene, change)


def _camera_faults(text: str, scene: Scene, change: Change | None, profile: ParagraphProfile) -> list[Fault]:
    if change and change.kind is Kind.camera:
        return []
    wanted = words_of(" ".join(scene.tail)) or []
    ending = words_of(text)[-(len(wanted) + 4) :] if wanted else words_of(text)[-12:]
    if not wanted:
        if any(says(" ".join(ending), phrase) for phrase in profile.camera):
            return []
        return [Fault(FaultKind.lost_camera, "it does not end with camera keywords")]
    lost = [word for word in wanted if word not in ending]
    return [Fault(FaultKind.lost_camera, f"its end lacks {' '.join(lost)!r}")] if lost else []


def _cut_faults(text: str, ask: Ask, profile: ParagraphProfile) -> list[Fault]:
    wanted = _content(plain_request(ask.request, profile.leaks))
    if wanted and len(wanted & lemmas_in(text)) * 2 < len({min(lemmas(word)) for word in wanted}):
        return [Fault(FaultKind.not_reflected, f"it shows little of {ask.request!r}")]
    return []


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in words_of(text) if word not in CLOSED and word not in lexicon().words["polite"])


def _change_faults(text: str, scene: Scene, change: Change) -> list[Fault]:
    said = lemmas_in(text)
    if change.kind is Kind.remove:
        head = change.head if change.thing else (scene.subject.head if scene.subject else "")
        if head and lemmas(head) & said:
            return [Fault(FaultKind.not_reflected, f"{head!r} is in it")]
        return []
    if change.kind is Kind.stop:
        gone = next((word for state in change.states for word in wordings_of(state) if says(text, word)), "")
        return [Fault(FaultKind.not_reflected, f"{gone!r} is in it")] if gone else []
    if not _reflected(text, said, scene, change):
        return [Fault(FaultKind.not_reflected, f"nothing of it says {change.words or change.thing!r}")]
    return []


def _reflected(text: str, said: frozenset[str], scene: Scene, change: Change) -> bool:
    if change.kind is Kind.state:
        return all(any(says(text, term) for term in (*state.says, *state.ask, state.name)) for state in change.states)
    if change.kind is Kind.camera:
        return all(_films(text, wording.tail) for wording in change.cameras)
    if change.kind in (Kind.add, Kind.give, Kind.swap, Kind.place):
        head = head_of(bare(change.words))
        return bool(lemmas(head) & said) or any(lemmas(word) & said for word in _content(change.words))
    if change.kind is Kind.look:
        return any(lemmas(word) & said for word in words_of(change.words))
    wanted = _content(change.words)
    return not wanted or sum(bool(lemmas(word) & said) for word in wanted) * 2 >= len(wanted)


def _films(text: str, keyword: str) -> bool:
    return says(text, keyword) or bool(
        set(words_of(keyword)) & set(words_of(text)) - {"camera", "shot", "view", "slow"}
    )


def _anchor_faults(text: str, scene: Scene, change: Change | None) -> list[Fault]:
    if not scene.sentences:
        return []
    said = lemmas_in(text)
    faults = []
    touched = _touched(change)
    subject = scene.subject
    replaced = (
        change is not None
        and change.kind in (Kind.remove, Kind.swap)
        and (not change.thing or bool(subject and lemmas(change.head) & lemmas(subject.head)))
    ) or (change is not None and change.kind is Kind.place and subject is not None and subject.kind == "place")
    if subject and not replaced and not lemmas(subject.head) & (touched | said):
        faults.append(Fault(FaultKind.lost_anchor, f"its subject {subject.head!r} is gone"))
    if change and change.kind is Kind.place:
        return faults
    anchors = [noun for noun in nouns_of(scene.sentences[0]) if not lemmas(noun) & touched and noun not in _NO_ANCHORS]
    if replaced and subject:
        anchors = [noun for noun in anchors if noun not in lemmas(subject.head)]
    anchors = anchors[:_MOST_ANCHORS]
    kept = [noun for noun in anchors if lemmas(noun) & said]
    if len(anchors) >= 3 and not replaced and len(kept) < _SHARE_OF_ANCHORS * len(anchors):
        lost = ", ".join(noun for noun in anchors if noun not in kept)
        faults.append(Fault(FaultKind.lost_anchor, f"it has lost {lost}"))
    return faults


_NO_ANCHORS = frozenset({"camera", "shot", "scene", "view", "front", "background", "foreground"})


def _touched(change: Change | None) -> frozenset[str]:
    """The words that a change may take out of a scene."""
    if not change:
        return frozenset()
    touched = set(lemmas_in(change.thing)) if change.kind in (Kind.remove, Kind.swap, Kind.stop) else set()
    for state in change.states:
        for other in lexicon().clashing(state.name):
            touched |= lemmas_in(" ".join(other.says))
        touched |= lemmas_in(" ".join(state.instead))
        if change.kind is Kind.stop:
            touched |= lemmas_in(" ".join(state.says))
    if change.kind is Kind.look and not change.thing:
        touched |= lexicon().words["colors"]
    return frozenset(touched) | _touched(change.also)


def _contradictions(text: str, scene: Scene, change: Change | None) -> list[Fault]:
    asked = change.states if change and change.kind is Kind.state else ()
    faults = []
    for state in asked:
        own = {*state.says, *words_of(" ".join(state.lines))}
        for other in lexicon().clashing(state.name):
            if other.attribute not in _HARD:
                continue
            for term in (*other.phrases, *other.lights, *other.adjectives):
                if term not in own and says(text, term):
                    faults.append(Fault(FaultKind.contradiction, f"it is {state.name} and says {term!r}"))
    stated = _stated(text)
    before = _stated(scene.text)
    for name in stated:
        for other in lexicon().clashing(name):
            if other.name in stated and name < other.name and not {name, other.name} <= before and not asked:
                faults.append(Fault(FaultKind.contradiction, f"it is both {name} and {other.name}"))
    return faults


_HARD = frozenset({"weather", "time"})


def _stated(text: str) -> frozenset[str]:
    def states(state: State) -> bool:
        return any(says(text, term) for term in (*state.phrases, *state.adjectives))

    return frozenset(state.name for state in lexicon().states.values() if state.attribute in _HARD and states(state))
