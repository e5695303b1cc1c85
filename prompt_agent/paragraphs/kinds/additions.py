"""A new thing in one new sentence, and what somebody is given to hold or to wear."""

from __future__ import annotations

import re

from prompt_agent.expansion import NotUnderstood
from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import DETERMINERS, is_plural, join, lemmas, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.kinds import acts
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import (
    INDEFINITE,
    PRONOUN,
    agreeing,
    are,
    bare,
    head_of,
    is_subject,
    of_the_scene,
    small,
    with_article,
)
from prompt_agent.paragraphs.scene import Scene, has_verb, mentions, starts_with_pronoun
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.paragraphs.surgery import cut_out
from prompt_agent.validation import words_of

_GIVE = re.compile(
    r"^(?:(?:give|hand|get|put on|buy|lend|offer)\s+(?P<who>him|her|it|them|the [\w -]+?)\s+(?P<thing>(?:an?|some|"
    r"two|the|"
    r"his|her|\w+)\s*.*)|"
    r"(?:put|place)\s+(?P<thing2>.+?)\s+on\s+(?P<who2>him|her|it|them|the [\w -]+?|(?:his|her|its|their)(?= "
    r"head))(?:\s+head)?)$",
    re.IGNORECASE,
)
_DRESS = re.compile(
    r"^(?:put|dress)\s+(?P<who>him|her|it|them|the [\w -]+?)\s+(?:in|into)\s+(?P<thing>.+)$", re.IGNORECASE
)
_ADD = re.compile(
    r"^(?:add in|add|insert|include|bring in|bring back|bring|introduce|put in|put|place|throw in|throw|draw|create|"
    r"show|spawn|there is|there are|there's|there be|there comes|let there be|have|i want|give me|give us|with|"
    r"there should be|make|drop in|drop|generate|get|set|here comes|in comes|plus|fill it with|see|paint)"
    r"\s+(?P<thing>.+)$",
    re.IGNORECASE,
)
_MANY = re.compile(r"^(?:a lot more|a lot of|lots more|lots of|plenty of|some more|many more|more)\s+", re.IGNORECASE)
_COUNTED = re.compile(
    r"^(?:two|three|four|five|six|seven|eight|nine|ten|several|many|a few|a couple of|dozens|hundreds|both)\b"
)
_FILL = re.compile(
    r"^(?P<verb>fill|cover|surround|decorate|line|crowd)\s+(?P<where>(?:the|his|her|its|everything|it)\b.*?)"
    r"\s+with\s+(?P<thing>.+)$",
    re.IGNORECASE,
)
_ADDING = frozenset(
    [
        "add",
        "insert",
        "include",
        "bring",
        "put",
        "place",
        "draw",
        "show",
        "spawn",
        "create",
        "introduce",
        "there's",
        "with",
        "throw",
        "drop",
        "there",
        "generate",
        "here",
        "plus",
    ]
)
_ROOM = 22  # words of a request that nothing else is made of


def read_put(text: str, words: list[str], scene: Scene) -> Change | None:
    """`add a balloon`, `there is a cat on the roof`."""
    if _FILL.match(text):
        return read(text, words, scene)
    if len(words) > 1 and words[1] in ("his", "her", "its", "their", "your") and words[0] != "add":
        return None
    return read(text, words, scene) if words[0] in _ADDING else None


def read_gift(text: str, words: list[str], scene: Scene) -> Change | None:
    """`give him a hat`; of what he has already, another look."""
    if (dressed := _DRESS.match(text)) and mentions(dressed["thing"], lexicon().words["wearables"]):
        text = f"give {dressed['who']} {dressed['thing']}"
    found = _GIVE.match(text)
    if not found:
        return None
    who, thing = found["who"] or found["who2"], found["thing"] or found["thing2"]
    if words[0] == "get" and not INDEFINITE.match(thing):
        return None
    head = head_of(bare(thing))
    families = lexicon().words
    if found["who2"] and not lemmas(head) & (families["wearables"] | families["parts"]):
        return None
    parts = list(zip(tokens_of(bare(thing)), tags(tokens_of(bare(thing))), strict=True))
    modifiers = [token for token, tag in parts if tag == "A"]
    if who.lower() in ("his", "her", "its", "their"):
        who = "him"
    owner = "" if re.fullmatch(PRONOUN, who, re.IGNORECASE) or is_subject(who, scene) else who
    if modifiers and mentions(scene.text, lemmas(head)) and not owner:
        return Change(Kind.look, thing=head, words=" ".join(modifiers))
    return Change(Kind.give, thing=bare(owner), words=thing)


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """A noun phrase, with or without a word that says to add it, and where it is to be."""
    if filled := _FILL.match(text):
        return Change(
            Kind.add, thing=bare(filled["thing"]), words=filled["thing"], where=f"{filled['verb']} {filled['where']}"
        )
    found = _ADD.match(text)
    phrase = found["thing"] if found else text
    if found and words[0] in ("make", "get", "set", "paint", "see") and not INDEFINITE.match(phrase):
        return None
    tokens = tokens_of(phrase)
    parts = tags(tokens)
    if tokens and re.fullmatch(PRONOUN, tokens[0], re.IGNORECASE):
        return None
    if not found and (any(part in "VXR" for part in parts) or words[0] in lexicon().words["orders"]):
        return None
    if not found and not INDEFINITE.match(phrase) and len(tokens) > 6:
        return None
    if not any(part in "NA" for part in parts):
        return None
    if look := _look_of_what_is_there(phrase, scene):
        return look
    seen = False
    for place, (token, part) in enumerate(zip(tokens, parts, strict=True)):
        if part == "N":
            seen = True
        if seen and part in "PBGEVRLX" and token.lower() not in ("of", "with"):
            thing = join(tokens[:place])
            return Change(Kind.add, thing=bare(thing), words=thing, where=join(tokens[place:]))
    return Change(Kind.add, thing=bare(phrase), words=phrase)


def _look_of_what_is_there(phrase: str, scene: Scene) -> Change | None:
    """`murky water`, `pink hair`: of what a scene has once, and has already, another look."""
    tokens, words = tokens_of(phrase), lexicon().words
    head = head_of(phrase)
    once = words["mass"] | words["parts"] | words["everywhere"]
    if INDEFINITE.match(phrase) or not lemmas(head) & once or not mentions(scene.text, lemmas(head)):
        return None
    looks = tokens[:-1]
    plain = tokens[-1].lower() == head and looks and all(tag == "A" for tag in tags(["the", *tokens])[1:-1])
    return Change(Kind.look, thing=head, words=" ".join(looks)) if plain else None


def edit(scene: Scene, change: Change) -> Edit:
    """One new sentence, tied to the place that was asked for or to the scene's subject."""
    phrase = re.sub(r"^another\b", "a second", change.words.strip(), flags=re.IGNORECASE)
    if many := _MANY.match(phrase):
        rest = phrase[many.end() :]
        phrase = f"many {rest}" if is_plural(head_of(rest)) else f"a lot of {rest}"
    phrase = with_article(small(phrase))
    head = head_of(bare(phrase))
    plural = is_plural(head) or bool(_COUNTED.match(phrase))
    if " and " in phrase and not re.search(r" (?:of|with|in) ", phrase):
        plural = True
    said = sentence(of_the_scene(_told(scene, phrase, head, plural, change.where), scene))
    sentences = [text for text in scene.sentences if text != said]
    if len(sentences) < len(scene.sentences):
        said = sentence(said.rstrip(".") + ", bright and easy to see")
    return Edit(scene.with_sentences(sentences), (said,), small(said.rstrip(".")) if change.where else phrase)


def _told(scene: Scene, phrase: str, head: str, plural: bool, where: str) -> str:
    number = "are" if plural else "is"
    tokens = tokens_of(where)
    if tokens and tokens[0].lower() in ("that", "which", "who"):
        tokens = tokens[1:]
    if not tokens:
        table = lexicon().appearing
        verb = next((table[form] for form in sorted(lemmas(head)) if form in table), "")
        near = f" near {scene.subject.reference}" if scene.subject and scene.subject.kind != "place" else ""
        return f"{phrase} {agreeing(verb, plural)}" if verb else f"{phrase} {number} in clear view{near}"
    if tokens[0].lower() in ("after", "before", "during"):
        return _told(scene, phrase, head, plural, "")
    where = join(tokens)
    first = tokens[0].lower()
    starts = verb_of(first)
    if first in ("is", "are", "be"):
        return f"{phrase} {agreeing(join(['be', *tokens[1:]]), plural)}"
    if first.endswith("ing") and starts:
        return f"{phrase} {number} {where}"
    if starts and first not in _PLACING and tags(["the", head, *tokens])[2] in "VN":
        if starts in ("appear", "emerge", "arrive", "come") and len(tokens) == 1:
            seen = "into view" if starts == "come" else "in clear view"
            return f"{phrase} {agreeing(f'{starts} {seen}', plural)}"
        return f"{phrase} {agreeing(join([starts, *tokens[1:]]), plural)}"
    return f"{phrase} {number} {where}"


_PLACING = frozenset({"near", "behind", "over", "above", "like", "down", "up", "out", "next"})


def edit_gift(scene: Scene, change: Change) -> Edit:
    """He wears it, holds it, or has it."""
    head = head_of(bare(change.words))
    families = lexicon().words
    verb = "hold"
    if lemmas(head) & families["parts"]:
        verb = "have"
    elif lemmas(head) & families["wearables"]:
        verb = "wear"
    subject = scene.subject
    if (subject and not change.thing and subject.kind in ("thing", "place")) or (
        change.thing and kind_of(change.head) == "thing"
    ):
        verb = "have"
    thing = with_article(change.words)
    if verb == "wear" and not change.thing:
        scene = _undressed(scene, lemmas(head))
    return acts.edit(scene, Change(Kind.act, thing=change.thing, words=f"{verb} {thing}"), added=thing)


def _undressed(scene: Scene, heads: frozenset[str]) -> Scene:
    """Without what is worn where the new piece goes: one hat at a time."""
    families = (lexicon().words[name] for name in ("tops", "hats", "footwear"))
    slot = next((family for family in families if heads & family), frozenset[str]())

    def is_worn(word: str) -> bool:
        return not lemmas(word).isdisjoint(slot)

    left = [
        cut_out(text, is_worn) if mentions(text, slot) and not _of_others(text, scene, place) else text
        for place, text in enumerate(scene.sentences)
    ]
    return scene.with_sentences(text or ("" if place else scene.sentences[0]) for place, text in enumerate(left))


def _of_others(text: str, scene: Scene, place: int) -> bool:
    about = place == 0 or starts_with_pronoun(text)
    return not about and not (scene.subject and mentions(text, lemmas(scene.subject.head)))


def edit_other(scene: Scene, change: Change) -> Edit:
    """Anything else as one sentence of its own. Raises NotUnderstood for an order: its words are no picture."""
    tokens = tokens_of(of_the_scene(change.words, scene))[:_ROOM]
    while tokens and (tokens[-1].lower() in DETERMINERS or tags(tokens)[-1] in "PDCL"):
        tokens.pop()
    if not tokens or tokens[0].lower() in lexicon().words["orders"] or {"i", "we"} & set(words_of(" ".join(tokens))):
        raise NotUnderstood(
            "The rules make nothing of these words: say what is to be seen, such as 'a red balloon floats by'."
        )
    said = join(tokens)
    if not has_verb(said):
        said = f"there {are(head_of(said))} {with_article(small(said))}"
    said = sentence(said)
    return Edit(
        scene.with_sentences(text for text in scene.sentences if text != said), (said,), small(said.rstrip("."))
    )
