"""Short captions that say each attribute once: written, judged and suggested from a profile's tables of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prompt_agent.answer import answer_pattern
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import Reading, described, read_request, read_scene
from prompt_agent.captions.sentence import caption, choices, named, vocabulary
from prompt_agent.expansion import Ask, Draft, NotUnderstood
from prompt_agent.language import is_english
from prompt_agent.profile import CaptionProfile
from prompt_agent.validation import Fault, FaultKind, form_faults, words_of

MAX_ADDED = 80  # letters
_FOREIGN_WORDS = 2  # so many words without meaning, and the request is held to be English no longer on trust
_LETTERS_OF_A_WORD = 12  # of the longest words of captions, with the blank: bounds what a model may write


class CaptionForm:
    """`prompt_agent.form.Form` for captions. Raises ProfileError for a profile that contradicts itself."""

    def __init__(self, profile: CaptionProfile) -> None:
        self._profile = profile
        self._lexicon = Lexicon(profile)
        self._vocabulary = vocabulary(profile)

    def whole(self, text: str) -> bool:
        """Whether it says every attribute, none with two values; of less, the rest is the scene's."""
        said = described(self._lexicon, text)
        return all(len(said.get(name, ())) == 1 for name in self._profile.order)

    def write(self, ask: Ask) -> Draft:
        """The scene's caption with the values that the request asks for. Raises NotUnderstood if it asks for none."""
        scene, reading = self._read(ask)
        if problem := self._problem(ask, scene, reading):
            raise NotUnderstood(problem)
        return Draft(caption(self._profile, {**scene, **reading.asked}), self._name(reading), reading.unread)

    def faults(self, draft: Draft, ask: Ask) -> list[Fault]:
        """Form, words that the model does not know, and every attribute that is not as asked or else as it was."""
        faults = form_faults(draft.prompt, 1, self._profile.max_words, ())
        if unknown := sorted({*words_of(draft.prompt)} - self._vocabulary):
            faults.append(Fault(FaultKind.unread_words, f"it says {', '.join(unknown[:5])}, which no caption does"))
        scene, reading = self._read(ask)
        said = described(self._lexicon, draft.prompt)
        for name, values in said.items():
            if len(values) > 1:
                faults.append(Fault(FaultKind.contradiction, f"it says {' and '.join(sorted(values))} of the {name}"))
        for name, value in reading.asked.items():
            if said.get(name) != {value}:
                faults.append(Fault(FaultKind.not_reflected, f"it does not say {named(self._profile, name, value)}"))
        changed = [
            name
            for name in self._profile.order
            if name not in reading.asked and said.get(name, set()) != ({scene[name]} if name in scene else set())
        ]
        return faults + self._faults_of_others(changed, reading, scene)

    def stock(self, ask: Ask) -> Draft:
        """The scene as far as it can be read; else the first value of each attribute."""
        values = {name: next(iter(self._profile.attributes[name].captions)) for name in self._profile.order}
        return Draft(caption(self._profile, read_scene(self._lexicon, ask.scene) or values), "")

    def instructions(self) -> str:
        """The task, and every wording that a caption may have."""
        tables = (
            f"{name}: {', '.join(self._profile.attributes[name].captions.values())}" for name in self._profile.order
        )
        return "\n".join((self._profile.instructions.strip(), *tables))

    def pattern(self) -> str:
        """A regular expression for a language model's answer: letters, blanks and commas."""
        return answer_pattern("[A-Za-z, ]", (1, MAX_ADDED), (1, self._profile.max_words * _LETTERS_OF_A_WORD))

    def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        """The profile's requests that change something and were not made, of as many attributes as there are."""
        now = read_scene(self._lexicon, scene)
        done = {value for added in history for value in read_scene(self._lexicon, added).items()}
        open_requests: list[tuple[str, frozenset[str]]] = []
        for request in self._profile.suggestions:
            reading = read_request(self._lexicon, request, now)
            changed = frozenset(name for name, value in reading.asked.items() if now.get(name) != value)
            if changed and not done.issuperset(reading.asked.items()):
                open_requests.append((request, changed))
        chosen: list[str] = []
        # What was changed of late is offered last.
        used = Counter(name for added in history[-1:] for name in read_scene(self._lexicon, added))
        while open_requests and len(chosen) < count:
            request, changed = min(open_requests, key=lambda each: sum(used[name] for name in each[1]) / len(each[1]))
            open_requests.remove((request, changed))
            used.update(changed)
            chosen.append(request)
        return chosen

    def _read(self, ask: Ask) -> tuple[dict[str, str], Reading]:
        scene = read_scene(self._lexicon, ask.scene)
        reading = read_request(self._lexicon, ask.request, scene, description=ask.cut)
        # "Rose" and "Ball" are words of other languages too, in which they say nothing of what is asked for.
        foreign = len(reading.unread) >= _FOREIGN_WORDS and not is_english(ask.request)
        return scene, Reading(unread=reading.unread) if foreign else reading

    def _name(self, reading: Reading) -> str:
        return ", ".join(named(self._profile, name, value) for name, value in reading.asked.items())

    def _problem(self, ask: Ask, scene: Mapping[str, str], reading: Reading) -> str:
        """Why nothing can be made of a request, for the viewer; empty if something can."""
        if reading.asked and (_changes(scene, reading) or not (reading.lacking or reading.kept)):
            return ""
        attributes = {*reading.kept, *(name for name, _ in reading.lacking)}
        choice = choices(self._profile, [name for name in self._profile.order if not attributes or name in attributes])
        if reading.lacking:
            words = " and no ".join(dict.fromkeys(f"'{word}'" for _, word in reading.lacking))
            return f"There is no {words} in this world. Choose from {choice}."
        if reading.kept:
            kept = " and one ".join(dict.fromkeys(reading.kept))
            return f"There is always one {kept}: say what it becomes. Choose from {choice}."
        if not is_english(ask.request):
            return f"Only English is understood here. Say what to change, such as {self._examples(ask)}."
        return (
            f"Nothing of this can be shown here. Ask for something such as {self._examples(ask)}. Choose from {choice}."
        )

    def _examples(self, ask: Ask) -> str:
        return " or ".join(f"'{request}'" for request in self.suggest(ask.scene, ask.history, 2) or ["make it rain"])

    def _faults_of_others(self, changed: list[str], reading: Reading, scene: Mapping[str, str]) -> list[Fault]:
        """What is wrong with changes that the tables read in no word of the request."""
        if reading.lacking or reading.kept:
            if not _changes(scene, reading):
                return [Fault(FaultKind.not_reflected, "what is asked for cannot be shown")]
        elif not reading.asked:
            # A language model may understand it; but then it is one change that it makes.
            if not changed:
                return [Fault(FaultKind.not_reflected, "it is the scene as it was")]
            changed = changed if len(changed) > 1 else []
        return [
            Fault(FaultKind.lost_anchor, f"it does not keep {named(self._profile, name, scene[name])}")
            if name in scene
            else Fault(FaultKind.lost_anchor, f"it says of the {name} what nobody asked for")
            for name in changed
        ]


def _changes(scene: Mapping[str, str], reading: Reading) -> bool:
    return any(scene.get(name) != value for name, value in reading.asked.items())
