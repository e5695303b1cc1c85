"""The family of models whose prompts are one paragraph."""

from __future__ import annotations

from dataclasses import replace

from prompt_agent.answer import answer_pattern
from prompt_agent.expansion import Ask, Draft, NotUnderstood
from prompt_agent.language import is_english
from prompt_agent.paragraphs.change import Kind
from prompt_agent.paragraphs.cut import cut_to
from prompt_agent.paragraphs.edits import edit
from prompt_agent.paragraphs.english import lemmas, warm_up
from prompt_agent.paragraphs.history import brought_forward
from prompt_agent.paragraphs.judgement import judge
from prompt_agent.paragraphs.layout import lay_out
from prompt_agent.paragraphs.lexicon import State
from prompt_agent.paragraphs.reading import parse_change
from prompt_agent.paragraphs.scene import Scene, mentions, parse_scene
from prompt_agent.paragraphs.wording import says
from prompt_agent.profile import ParagraphProfile
from prompt_agent.validation import Fault, form_faults, words_of

_SCENE_WORDS = 30  # more than anybody takes to ask for one change
_SCENE_WORDS_WITH_CAMERA = 12
MAX_ADDED = 60  # letters
_MOST_LETTERS = 12  # of a word, on average and with its blank


class ParagraphForm:
    """One stand-alone paragraph that ends with the camera keywords. Implements `prompt_agent.form.Form`."""

    def __init__(self, profile: ParagraphProfile) -> None:
        self._profile = profile
        warm_up()
        is_english("rain")
        self.write(Ask("A woman walks along a beach. Wide shot.", "make it rain"))  # what is read and compiled once

    def whole(self, text: str) -> bool:
        """Whether the text is a prompt by itself: long as a scene, or with the camera keywords of one."""
        count = len(text.split())
        return count >= _SCENE_WORDS or (count >= _SCENE_WORDS_WITH_CAMERA and bool(self._parsed(text).tail))

    def write(self, ask: Ask) -> Draft:
        """By rules, the same each time. Raises NotUnderstood for a request that they make nothing of."""
        scene = brought_forward(self._parsed(ask.scene), ask.history, ask.request)
        made = (
            cut_to(ask.request, scene, self._profile)
            if ask.cut
            else edit(scene, parse_change(ask.request, scene, self._profile.leaks))
        )
        prompt = lay_out(made.scene, made.news, made.effects, self._profile, ask.history, scene.sentences)
        return Draft(prompt, " ".join(made.added.split()[:12]))

    def faults(self, draft: Draft, ask: Ask) -> list[Fault]:
        """Why the draft is no answer to the ask; none if it is one."""
        return judge(draft, ask, self._profile)

    def stock(self, ask: Ask) -> Draft:
        """The scene as it is, in form, whatever the scene and the request hold."""
        scene = self._parsed(ask.scene)
        for attempt in (scene, replace(scene, tail=()), Scene((), (), None, False)):
            prompt = lay_out(attempt, (), (), self._profile, ask.history)
            if not form_faults(prompt, self._profile.min_words, self._profile.max_words, self._profile.leaks):
                break
        return Draft(prompt, "")

    def instructions(self) -> str:
        """What a language model is told, the same for each ask."""
        return self._profile.instructions

    def pattern(self) -> str:
        """A regular expression for a language model's answer."""
        low, high = self._profile.min_words, self._profile.max_words
        return answer_pattern(_LETTERS, (2, MAX_ADDED), (low * 3, high * _MOST_LETTERS))

    def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        """Requests that a viewer may want next: none that is so already, no repetition of what was added."""
        parsed = self._parsed(scene)
        done = {lemma for added in history for word in words_of(added) for lemma in lemmas(word)}
        return [each for each in self._profile.suggestions if self._fits(each, parsed, done)][: max(count, 0)]

    def _parsed(self, text: str) -> Scene:
        return parse_scene(text, self._profile.camera, self._profile.leaks)

    def _fits(self, suggestion: str, scene: Scene, done: set[str]) -> bool:
        try:
            change = parse_change(suggestion, scene, self._profile.leaks)
        except NotUnderstood:
            return False
        if change.states:
            return not any(
                state.name in done
                or _states(scene.text, state)
                or (scene.indoor and state.attribute in ("weather", "wind"))
                for state in change.states
            )
        if change.kind is Kind.camera:
            return change.words not in " ".join(scene.tail)
        kind = scene.subject.kind if scene.subject else "place"
        human = words_of(suggestion)[0] in _HUMAN
        if (
            change.kind is Kind.act
            and not change.thing
            and kind not in (("person",) if human else ("person", "animal"))
        ):
            return False
        wanted = {lemma for word in words_of(change.thing or change.words) for lemma in lemmas(word)} - {"a", "the"}
        if change.thing and scene.indoor and wanted & {"bird", "butterfly"}:
            return False
        return not wanted & done and not mentions(
            scene.text, lemmas(change.head) if change.thing else wanted - {"up", "down", "around"}
        )


_LETTERS = r"[ !#-;=?-\[\]-~]"  # ASCII; no angle brackets, and nothing that JSON would have to escape
_HUMAN = frozenset({"smile", "wave", "laugh"})


def _states(text: str, state: State) -> bool:
    return any(says(text, term) for term in (*state.says, state.name))
