"""Weather, time of day, light, season, style and mood: a scene states one value of each, and its consequences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import CLOSED, PREPOSITIONS, lemmas, readings, sentence
from prompt_agent.paragraphs.lexicon import State, lexicon
from prompt_agent.paragraphs.phrases import INDEFINITE, PRONOUN, bare, with_article
from prompt_agent.paragraphs.rewording import restate
from prompt_agent.paragraphs.scene import Scene, has_verb, mentions
from prompt_agent.paragraphs.surgery import cut_out, setting_alone
from prompt_agent.paragraphs.wording import says, spaced

_ENDED = re.compile(
    r"^(?:make\s+|let\s+|have\s+)?(?:the\s+)?(?P<thing>[\w -]+?)\s+(?:disappears?|vanish(?:es)?|goes? away|is gone|"
    r"are gone|(?:is|are|gets?) removed|stops?|ends?|is over|is done|clears? up|clears?|lifts?|dies? down|fades?|"
    r"eases?|"
    r"passes|blows? over)$",
    re.IGNORECASE,
)
_NO_MORE = re.compile(
    r"^(?:no more|no|without|(?:make|let|have) (?:it|the weather) stop|stop|stop the|remove|get rid of|take away|"
    r"lose|end|clear|lift|enough|it stops|it quits|"
    r"it does not|it doesn't|do not let it|don't let it|not)\s+(?:the\s+|any\s+|all\s+|this\s+|of\s+)*(?P<thing>[\w "
    r"-]+)$",
    re.IGNORECASE,
)
_STYLED = re.compile(
    rf"^(?:(?:make|render|draw|paint|turn|change|show|switch|convert|do|have|film|shoot|put)\s+(?:{PRONOUN}|this|"
    rf"everything|"
    r"the (?:whole )?(?:scene|video|picture|style|look|thing))?\s*)?(?:look\s+|be\s+|appear\s+)?(?:(?:like|as|in|"
    r"into|to|with)\s+)*"
    r"(?P<style>(?:(?:the|an?)\s+)?(?:style of\s+.+|.+?\s+(?:style|look|aesthetic|vibes?|art|animation|movie|film|"
    r"painting|drawing|cartoon|graphics|game|illustration|poster|filter)))$",
    re.IGNORECASE,
)
_LIKE = re.compile(
    rf"^(?:make|have|let)\s+(?:{PRONOUN}|this|everything|the (?:whole )?(?:scene|video|picture))\s+(?:look|appear|"
    rf"feel)\s+"
    r"(?:more\s+)?like\s+(?P<style>.+)$",
    re.IGNORECASE,
)


_AS = re.compile(r"^(?:look\s+)?(?:like|as if in)\s+(?P<style>(?:an?|the)\s+.+)$", re.IGNORECASE)
_STYLE_ENDS = frozenset({"style", "look", "aesthetic", "vibe", "vibes", "animation", "graphics"})
_MADE = re.compile(
    r"^(?:make|turn|render|go)\s+(?:(?:it|this|everything|the (?:whole )?(?:scene|video|picture))\s+)?"
    r"(?:all\s+|look\s+|into\s+|more\s+|full\s+|in\s+)*(?P<style>[\w-]+(?:\s[\w-]+){0,2})$",
    re.IGNORECASE,
)


def read_end(text: str, words: list[str], scene: Scene) -> Change | None:
    """`stop the rain`, `the fog lifts`."""
    for pattern in (_NO_MORE, _ENDED):
        found = pattern.match(text)
        for state in lexicon().states.values() if found else ():
            asked = spaced(bare(found["thing"])) if found else ""
            if state.name == "clear" and re.match(r"clear\b", text, re.IGNORECASE):
                continue  # "clear blue sky" is one to come
            if state.attribute in ("weather", "wind") and any(asked == spaced(ask) for ask in state.ask):
                return Change(Kind.stop, thing=bare(found["thing"]) if found else "", states=(state,))
    return None


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """One state or several, if the request names nothing else: `a rainy night`, `turn day into night`."""
    states = states_of(text)
    if not states or (
        states[0].attribute == "mood"
        and INDEFINITE.match(text)
        and words[-1] not in ("lighting", "light", "mood", "atmosphere")
    ):
        return None
    if re.match(r"^(?:add|put|place)\b.*\b(?:lights?|lamps?|painting|drawing|comic|clay)$", text, re.IGNORECASE):
        return None
    return Change(Kind.state, words=text, states=states)


def read_style(text: str, words: list[str], scene: Scene) -> Change | None:
    """A style that no table names: `make it look like a stained glass window`, `wes anderson style`."""
    found = _LIKE.match(text) or _AS.match(text) or _STYLED.match(text)
    if not found:
        return None
    style = bare(found["style"])
    if (
        len(style.split()) > 7
        or (style.split()[-1] not in _STYLE_ENDS and mentions(scene.text, lemmas(style.split()[-1])))
        or words[0] in ("add", "a", "an")
    ):
        return None
    if known := states_of(style):
        return Change(Kind.state, words=text, states=known)
    return Change(Kind.style, words=style)


def read_made(text: str, words: list[str], scene: Scene) -> Change | None:
    """`make it steampunk`: what is no look, no action and no thing is a style."""
    found = _MADE.match(text)
    if not found or INDEFINITE.match(found["style"]):
        return None
    first = found["style"].split()[0].lower()
    if "VERB" in readings(first) or first in CLOSED or set(readings(first)) == {"ADV"}:
        return None
    return Change(Kind.style, words=f"{found['style']} style")


def states_of(text: str) -> tuple[State, ...]:
    """The states that a text names if it names nothing else, in their order; of two that clash the later one."""
    left = spaced(text)
    hits: list[tuple[int, State]] = []
    for ask, state in _asks():
        place = left.find(ask)
        if place >= 0:
            hits.append((place, state))
            left = left.replace(ask, " " + "|" * (len(ask) - 2) + " ")
    if not hits or not _nothing_else(left, {state.attribute for _, state in hits}):
        return ()
    chosen: list[State] = []
    for _, state in sorted(hits, key=lambda hit: hit[0]):
        if state.attribute == "style" and any(other.attribute == "style" for other in chosen):
            continue
        clashing = lexicon().clashing(state.name)
        chosen = [other for other in chosen if other not in clashing and other != state]
        chosen.append(state)
    return tuple(chosen)


@cache
def _asks() -> tuple[tuple[str, State], ...]:
    """Every wording that asks for a state, the longest first."""
    pairs = [(spaced(ask), state) for state in lexicon().states.values() for ask in state.ask]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


def _nothing_else(left: str, attributes: set[str]) -> bool:
    """Whether carriers and what says how are all that is left, but for a place at the end: `rolls in over the sea`."""
    families = lexicon().words
    carriers = families["carriers"]
    if "style" in attributes:
        carriers = carriers | families["style_words"]
    words = left.split()
    strange = [
        place
        for place, word in enumerate(words)
        if word[0] != "|" and word not in carriers and not _says_how(words, place, attributes)
    ]
    if not strange:
        return True
    first = strange[0]
    if words[first] in PREPOSITIONS:
        first += 1
    before = [word for word in words[:first] if word in PREPOSITIONS and any(each[0] == "|" for each in words[:first])]
    behind = words[first:]
    return (
        bool(before)
        and before[-1] not in ("of", "with", "for", "without", "like")
        and len(behind) <= 3
        and not any(word[0] == "|" for word in behind)
        and attributes <= {"weather", "wind", "time", "light"}
    )


def _says_how(words: list[str], place: int, attributes: set[str]) -> bool:
    """Whether a word only says how, as `huge` in `huge storm` does."""
    known = readings(words[place])
    how = bool(known) and ("ADJ" in known or "ADV" in known)
    if attributes & {"mood"}:
        how = how and "NOUN" not in known and "VERB" not in known
    return how and place + 1 < len(words) and (words[place + 1][0] == "|" or _says_how(words, place + 1, attributes))


def edit(scene: Scene, change: Change) -> Edit:
    """The scene states the new values, and none that clashes with them."""
    made = Edit(scene, (), "")
    for state in change.states:
        next_ = _stated(made.scene, state)
        added = f"{made.added} and {next_.added}" if made.added else next_.added
        made = Edit(next_.scene, (*made.news, *next_.news), added, (*made.effects, *next_.effects))
    details = _details(change.words, made)
    return Edit(made.scene, (*made.news, *details), made.added, made.effects)


def _details(asked: str, made: Edit) -> list[str]:
    """What the request says beyond the state: the moon of a moonlit night, the pink of a sunset."""
    details = []
    if not made.scene.indoor:
        told = " ".join([made.scene.text, *made.news])
        for wording, line in lexicon().details.items():
            if says(asked, wording) and line not in told and line not in details:
                details.append(line)
    named = re.sub(r"\bblue (?=sky|skies)", "", asked, flags=re.IGNORECASE)  # that of fair weather is no tint
    shades = [word for word in spaced(named).split() if word in lexicon().words["colors"]]
    if shades and not says(asked, "black and white"):
        details.append(sentence(f"the light has a {' and '.join(shades)} tint"))
    return details[:1]


def _stated(scene: Scene, state: State) -> Edit:
    there = any(core in scene.text for core in (state.core, state.indoor) if core)
    made = resolved(scene, state)
    core = state.indoor if scene.indoor and state.indoor else state.core
    effects = state.effects_indoor if scene.indoor and state.effects_indoor else state.effects
    return Edit(made, (state.more if there else core,), state.name, effects)


def resolved(scene: Scene, state: State, keep: frozenset[str] = frozenset(), told: bool = False) -> Scene:
    """The scene without what clashes with a state, and without the lines that an earlier change has put for it.

    `keep`: sentences that stay as they are. `told`: another sentence says the state already.
    """
    clashing = lexicon().clashing(state.name)
    used = {state.phrase, state.adjective} if told else set[str]()
    kept = [text for text in scene.sentences if not state.wrote(text)]
    sentences = [text if text in keep else restate(_instead(text, state), clashing, state, used) for text in kept]
    if state.attribute == "style":
        sentences = [without_style(text) for text in sentences]
    if kept and not sentences[0]:
        sentences[0] = setting_alone(kept[0], lambda text: restate(text, clashing, None, set()))
    return scene.with_sentences(sentences)


def _instead(text: str, state: State) -> str:
    """What the state's table puts in other words: gentle waves are high in a storm."""
    for old, new in state.instead.items():
        if says(text, old):
            text = re.sub(rf"\b{re.escape(old)}\b", new, text, flags=re.IGNORECASE)
            text = sentence(text) if text else ""
    return text


def without_style(text: str) -> str:
    """A sentence without what it says of the picture's style; the rest of it stays."""
    strict = lexicon().words["style_names"]
    if not mentions(text, strict) or text in lexicon().lines:
        return text
    return cut_out(text, lambda word: bool(lemmas(word) & strict)) if has_verb(text) else ""


def edit_style(scene: Scene, change: Change) -> Edit:
    """A style that no table names, said as it was asked for."""
    styles = [state for state in lexicon().states.values() if state.attribute == "style"]
    used: set[str] = set()
    sentences = [without_style(restate(text, styles, None, used)) for text in scene.sentences]
    if sentences and not sentences[0]:
        sentences[0] = scene.sentences[0]
    style = change.words
    if style.lower().startswith("style of"):
        said = f"the whole picture is in the {style}"
    elif re.search(r"\b(?:style|aesthetic|look)$", style, re.IGNORECASE):
        said = f"the whole picture has a {style}"
    else:
        said = f"the whole picture looks like {with_article(style)}"
    return Edit(scene.with_sentences(sentences), (sentence(said),), style)


def edit_end(scene: Scene, change: Change) -> Edit:
    """The end of rain or snow: nothing names it any more, and the weather is another."""
    state = change.states[0]
    forms = wordings_of(state)
    calm = lexicon().states["calm"] if state.attribute == "wind" else lexicon().states["clear"]
    if state.name in ("sun", "clear"):
        calm = lexicon().states["clouds"]

    def names_it(word: str) -> bool:
        return not lemmas(word).isdisjoint(forms)

    used: set[str] = set()
    kept = [restate(text, (state,), calm, used) for text in scene.sentences if text not in state.lines]
    sentences = [cut_out(text, names_it) if text else "" for text in kept]
    if sentences and not sentences[0]:
        sentences[0] = setting_alone(
            scene.sentences[0], lambda text: cut_out(restate(text, (state,), None, set()), names_it)
        )
    core = (calm.indoor if scene.indoor else calm.core) or "The air is calm."
    effects = calm.effects_indoor if scene.indoor else calm.effects
    return Edit(scene.with_sentences(sentences), (core,), f"the {change.thing.lower()} is gone", effects)


def wordings_of(state: State) -> frozenset[str]:
    """The single words that say a state: rain, raining, drizzle."""
    return frozenset(ask for ask in (state.name, *state.ask, *state.others) if " " not in ask) - {"clear", "dry", "wet"}


def states_said(texts: Iterable[str]) -> Sequence[State]:
    """Weathers and times of day that sentences state, as `drives into the sunset` does."""
    return [
        state
        for state in lexicon().states.values()
        if state.attribute in ("weather", "time")
        and state.core
        and any(says(text, term) for text in texts for term in (*state.phrases, *state.adjectives, *state.others))
    ]
