"""How something looks: colour, size, age, lit or not; the earlier look of the same thing goes."""

from __future__ import annotations

import re

from prompt_agent.expansion import NotUnderstood
from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import CLOSED, DETERMINERS, is_plural, join, lemmas, readings, sentence, tokens_of
from prompt_agent.paragraphs.kinds import acts
from prompt_agent.paragraphs.kinds.removal import named
from prompt_agent.paragraphs.kinds.states import resolved, states_of
from prompt_agent.paragraphs.kinds.swaps import subject_head
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import INDEFINITE, PRONOUN, are, bare, head_of, is_subject, with_article
from prompt_agent.paragraphs.rewording import give_look
from prompt_agent.paragraphs.scene import Scene, mentions
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.paragraphs.surgery import cut_out
from prompt_agent.validation import words_of

_LOOK = re.compile(
    r"^(?:make|turn|paint|colou?r|dye|change|get|let|have|tint|give)\s+(?:the\s+colou?r\s+of"
    r"\s+)?(?P<thing>.+?)(?:'s\s+colou?r)?\s+"
    r"(?:colou?r\s+)?(?:(?:to|into|be|become|look|turn|go|in|appear|seem)\s+)*(?P<new>[\w'-]+(?:,?\s+(?:and"
    r"\s+)?[\w'-]+){0,3})$",
    re.IGNORECASE,
)
_IS_LOOK = re.compile(
    r"^(?P<thing>.+?)\s+(?:(?:should|could|must|can|will|has to|have to|needs to|might)\s+)?(?:is|are|be|turns?|"
    r"becomes?|goes|"
    r"go|gets?|gets|looks?|seems?|appears?)\s+(?:to\s+)?(?P<new>[\w'-]+(?:,?\s+(?:and\s+)?[\w'-]+){0,2})$",
    re.IGNORECASE,
)
_SWITCH = re.compile(
    r"^(?:(?:turn|switch|shut|put|kill|click|flip)\s+(?P<a>on|off|out)\s+(?P<b>.+)|"
    r"(?:turn|switch|shut|put|have|make|click|flip|get)\s+(?P<c>.+?)\s+(?P<d>on|off|out)|"
    r"(?P<e>light|ignite|extinguish|blow out|kill)\s+(?P<f>(?:the|all|his|her|its|some)\s+.+)|"
    r"(?P<g>(?:the|all|his|her|its)\s+.+?)\s+(?:is|are|goes?|turns?|switch(?:es)?|comes?|gets?)\s+(?P<h>on|off|out|"
    r"dark|lit))$",
    re.IGNORECASE,
)
_ON = frozenset({"on", "lit", "light", "ignite"})
_HOW = frozenset(
    {"and", "very", "more", "much", "a", "bit", "really", "all", "completely", "little", "so", "too", "totally"}
)
_DROPPED_END = re.compile(
    r"\s+(?:to|into|be|become|look|turn|colou?r|is|are|much|more|a bit|very|really|all|a lot|completely|go|seem)$", re.I
)


def read_switch(text: str, words: list[str], scene: Scene) -> Change | None:
    """`turn off the lamp`, `the lights go out`, `light the candles`."""
    found = _SWITCH.match(text)
    if not found:
        return None
    thing = found["b"] or found["c"] or found["f"] or found["g"]
    how = (found["a"] or found["d"] or found["e"] or found["h"]).lower()
    head = head_of(bare(thing))
    lamps, devices = lexicon().words["lamps"], lexicon().words["devices"]
    if not lemmas(head) & (lamps | devices) or INDEFINITE.match(thing):
        return None
    return Change(Kind.look, thing=bare(thing), words="on" if how in _ON else "off")


def read_recolour(text: str, words: list[str], scene: Scene) -> Change | None:
    """`change red to blue`, `make the throne of ice`, `the car in blue`."""
    colors = lexicon().words["colors"]
    if found := _RECOLOUR.match(text):
        old, new = found["old"].lower(), found["new"].lower()
        if old in colors and new in colors and old in words_of(scene.text):
            return Change(Kind.look, thing=old, words=new)
    if found := _MADE_OF.match(text):
        thing = "" if is_subject(found["thing"], scene) else bare(found["thing"])
        return Change(Kind.look, thing=thing, words=f"made of {found['new']}")
    if (found := _IN_COLOUR.match(text)) and found["new"].split()[-1].lower() in colors:
        return Change(Kind.look, thing=bare(found["thing"]), words=found["new"])
    blond = words[-1] in ("blonde", "blond", "brunette", "ginger") and scene.subject and scene.subject.kind == "person"
    if blond and (found := _LOOK.match(text)) and is_subject(found["thing"], scene):
        return Change(Kind.look, thing="hair", words=words[-1])
    return None


_RECOLOUR = re.compile(
    r"^(?:turn|change|make|swap|replace|paint|switch)\s+(?:all\s+)?(?:the\s+)?(?P<old>\w+)(?:\s+(?:things|parts|"
    r"color|colour|ones))?"
    r"\s+(?:to|into|with|for|by)\s+(?P<new>\w+)$",
    re.IGNORECASE,
)
_MADE_OF = re.compile(
    r"^(?:make|turn|build|let)\s+(?P<thing>.+?)\s+(?:be\s+)?(?:made\s+)?(?:out of|of|from|into)\s+(?:pure\s+|solid\s+)?"
    r"(?P<new>ice|glass|gold|silver|stone|wood|metal|steel|iron|fire|paper|crystal|marble|candy|chocolate|bronze|"
    r"copper|"
    r"plastic|diamonds?|sand|snow|water|smoke|light|jelly|rubber|wool|leaves|flowers|bricks?|concrete|clay)$",
    re.IGNORECASE,
)
_IN_COLOUR = re.compile(
    r"^(?:(?:show|make|paint|have)\s+)?(?P<thing>(?:the|all|both|his|her|its)\s+[\w ]+?)\s+in\s+"
    r"(?P<new>(?:\w+\s)?\w+)$",
    re.IGNORECASE,
)


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """`make the car blue`, `her hair turns white`, `the sky should be pink`."""
    for pattern in (_LOOK, _IS_LOOK):
        found = pattern.match(text)
        if not found or (words[0] == "give" and pattern is _LOOK):
            continue
        thing, new = found["thing"], found["new"]
        split = re.match(r"^(.+?)\s+(?:to|into|be|become|look|turn|seem|appear)\s+(.+)$", f"{thing} {new}", re.I)
        tokens = tokens_of(f"{thing} {new}")
        parts = tags([*tokens, "."])[:-1]
        at = len(tokens)
        while (
            at > 1
            and (at == len(tokens) or tokens[at - 2].lower() not in DETERMINERS)
            and (_is_adjective(tokens[at - 1], parts[at - 1]) or (tokens[at - 1] == "and" and at < len(tokens)))
        ):
            at -= 1
        if split and all(_is_adjective(word, "A") or word in _HOW for word in split[2].lower().split()):
            thing, new = split[1], split[2]
        elif at < len(tokens):
            thing, new = join(tokens[:at]), join(tokens[at:])
        else:
            continue
        if words[0] in ("make", "let", "have") and _is_doing(words_of(thing)):
            return None  # "make its eyes glow red"
        while _DROPPED_END.search(thing):
            thing = _DROPPED_END.sub("", thing)
        if words_of(thing)[-1] in _OF_ALL and (states := states_of(new)):
            return Change(Kind.state, words=text, states=states)
        if re.fullmatch(PRONOUN, thing, re.I) or is_subject(thing, scene):
            return Change(Kind.look, words=new)
        if any(tag == "N" for tag in tags(tokens_of(thing))) or thing.lower().startswith("the "):
            return Change(
                Kind.look, thing=re.sub(r"^(?:the|all|this|that|all the)\s+", "", thing, flags=re.I), words=new
            )
    return None


_OF_ALL = ("sky", "scene", "picture", "light", "weather", "mood", "atmosphere", "video", "whole", "lighting")


def _is_doing(words: list[str]) -> bool:
    """Whether a noun phrase ends with a verb: `its eyes glow`."""
    return len(words) > 1 and words[-1] in lexicon().words["acts"] and words[-2] not in DETERMINERS


def _is_adjective(word: str, tag: str) -> bool:
    word = word.lower()
    families = lexicon().words
    if word in families["colors"] | families["sizes"] | families["shades"] | families["ages"]:
        return True
    base = set(readings(word).get("ADJ", ()))
    known = readings(word)
    return word not in CLOSED and (
        (tag == "A" and bool(base))
        or (bool(base - {word}) and word.endswith("er"))
        or (bool(base) and "VERB" not in known and "NOUN" not in known)
        or (bool(base) and word.endswith("ed"))
    )


def edit(scene: Scene, change: Change) -> Edit:
    """The look is said wherever the thing is named; of what is not there, as a new thing."""
    head = change.head if change.thing else subject_head(scene)
    if not head:
        raise NotUnderstood("It is not clear what should look so: name the thing, such as 'make the car blue'.")
    if head in lexicon().words["colors"] and change.words in lexicon().words["colors"]:
        put = [re.sub(rf"\b{head}\b", change.words, text) for text in scene.sentences]
        put = [sentence(re.sub(rf"\b{head.capitalize()}\b", change.words, text)) for text in put]
        return Edit(scene.with_sentences(put), (), f"{change.words} instead of {head}")
    if change.words in ("on", "off"):
        return _switched(scene, change, lemmas(head))
    words = [_positive(word) for word in tokens_of(change.words.lower()) if word not in _HOW and word != ","]
    words = [part for word in words for part in word.split()]
    adjective = " and ".join(words) if _row(words) else " ".join(words)
    heads = lemmas(head)
    whole = bool(scene.subject and scene.subject.head in heads)
    owner = scene.subject.reference if whole and scene.subject else f"the {bare(change.thing).lower() or head}"
    drop = _dropped(words)
    if words[:2] == ["made", "of"]:
        gone = lexicon().words["materials"] | lexicon().words["colors"] | lexicon().words["shades"]
        put = [give_look(text, heads, [], gone) if mentions(text, heads) else text for text in scene.sentences]
        return Edit(
            scene.with_sentences(put), (sentence(f"{owner} {are(head)} {' '.join(words)}"),), f"{owner} {adjective}"
        )
    if not drop and (whole or kind_of(head) in ("person", "animal")):
        verb = "look" if set(words) & lexicon().words["emotions"] else "be"
        done = Change(Kind.act, thing="" if whole else f"the {head}", words=f"{verb} {adjective}")
        made = acts.edit(_without_state_of(scene, heads, words, whole), done)
        return Edit(made.scene, made.news, f"{owner} {are(head)} {adjective}")
    added = f"{owner} {are(head)} {adjective}"
    if not mentions(scene.text, heads):
        return Edit(scene, (_new_look(scene, change, head, words, adjective),), added)
    also = lexicon().words["coverings"] if whole and set(words) & lexicon().words["colors"] else frozenset[str]()
    sentences = []
    for text in scene.sentences:
        given = (
            give_look(text, heads, adjective.split(), frozenset(drop | set(words))) if mentions(text, heads) else text
        )
        if also and mentions(given, also) and drop:
            given = give_look(given, also, [word for word in words if word in drop], frozenset(drop))
        sentences.append(given)
    made_scene = scene.with_sentences(sentences)
    if made_scene.sentences != scene.sentences:
        return Edit(made_scene, (), added)
    return Edit(scene, (sentence(added),), added)


def _row(words: list[str]) -> bool:
    """Whether the words are looks of one kind, as `black` and `white` are."""
    return len(words) == 2 and set(words) <= lexicon().words["colors"]


def _dropped(words: list[str]) -> set[str]:
    """The looks of the same kind, which go."""
    families = lexicon().words
    drop: set[str] = set()
    if any(word in families["materials"] for word in words):
        drop |= families["materials"] | families["colors"]
    for name in ("colors", "sizes", "ages", "lengths", "conditions", "builds", "textures", "clarities", "wearing"):
        if any(word in families[name] for word in words):
            drop |= families[name]
    if drop & families["sizes"]:
        drop |= {"gentle", "slight", "mild", "high", "low"}
    return drop | (families["shades"] - {"neon"}) if drop & families["colors"] else drop


def _positive(word: str) -> str:
    """`bigger` as `very big`: a paragraph by itself compares with nothing."""
    base = readings(word).get("ADJ", (word,))[0]
    return f"very {base}" if base != word and word.endswith(("er", "est")) else word


def _new_look(scene: Scene, change: Change, head: str, words: list[str], adjective: str) -> str:
    """A sentence for a look of what the scene has not named."""
    families = lexicon().words
    subject = scene.subject
    phrase = with_article(f"{' '.join(words)} {bare(change.thing).lower()}")
    if subject and subject.kind in ("person", "animal") and lemmas(head) & (families["parts"] | families["wearables"]):
        worn = lemmas(head) & families["wearables"] and not lemmas(head) & families["parts"]
        verb = "wear" if worn else "have"
        return sentence(
            f"{subject.reference} {verb if subject.plural else {'wear': 'wears', 'have': 'has'}[verb]} {phrase}"
        )
    if lemmas(head) & families["everywhere"] or kind_of(head) == "place":
        return sentence(f"the {bare(change.thing)} {are(head)} {adjective}")
    near = f" near {subject.reference}" if subject and subject.kind != "place" else ""
    return sentence(f"{phrase} {are(head)} in clear view{near}")


def _without_state_of(scene: Scene, heads: frozenset[str], words: list[str], whole: bool) -> Scene:
    """The scene without what it says of somebody's feelings."""
    emotions = lexicon().words["emotions"]
    if not set(words) & emotions:
        return scene
    out = []
    for place, text in enumerate(scene.sentences):
        about = mentions(text, heads) or (whole and words_of(text)[0] in ("he", "she", "it", "they"))
        left = cut_out(text, lambda word: word in emotions) if about and set(words_of(text)) & emotions else text
        out.append(left or ("" if place else text))
    return scene.with_sentences(out)


def _switched(scene: Scene, change: Change, heads: frozenset[str]) -> Edit:
    """A lamp or a device goes on or off; what is said of its light goes."""
    lamp = bool(heads & lexicon().words["lamps"])
    name = named(scene, heads) or bare(change.thing).lower()
    number = "are" if is_plural(name.split()[-1]) else "is"
    glowing = lexicon().words["glowing"]
    sentences = []
    for place, text in enumerate(scene.sentences):
        left = text
        if lamp and mentions(text, heads) and (mentions(text, glowing) or change.words == "off"):
            left = cut_out(text, lambda word: bool(lemmas(word) & heads))
        sentences.append(left or ("" if place else text))
    made = scene.with_sentences(sentences)
    said = f"the {name} {number} {change.words}"
    effects: tuple[str, ...] = ()
    if lamp and change.words == "on":
        said = f"the {name} {number} lit and {'glow' if number == 'are' else 'glows'} warmly"
    elif lamp:
        state = lexicon().states["gloom"]
        made, effects = resolved(made, state), (state.core, *state.effects)
    return Edit(made, (sentence(said),), f"the {name} {number} {change.words}", effects)
