"""The prompt agent: the first good prompt for a request, whoever writes it, before its deadline."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prompt_agent.backends import Backend, BackendError, Heard, Trouble
from prompt_agent.breaker import Breaker, LeftAlone, Outcome
from prompt_agent.cleaning import clean_request, clean_scene
from prompt_agent.expansion import MAX_HISTORY, Ask, Draft, Expansion, NotUnderstood, Refused
from prompt_agent.form import Form
from prompt_agent.hearing import judged
from prompt_agent.injection import speaks_to_the_writer
from prompt_agent.request import Change, changes_of
from prompt_agent.safety import SafetyHook, WordList
from prompt_agent.validation import Fault, FaultKind

DEADLINE_SECONDS = 2.5
TRIES = 2
BREAKER_FAILURES = 3
BREAKER_SECONDS = 5.0
RULES, STOCK = "rules", "stock"
MAX_ADDED = 100  # letters
LEAST_SECONDS = 0.2
"""With less than this until the deadline nobody is asked again."""
log = logging.getLogger(__name__)
_EMPTY = "The request holds no words: say what is to change, such as 'make it rain'."
_TO_THE_WRITER = "The request speaks to the prompt's writer, not of the picture: say what is to be seen."
_LEFT_ALONE = "The language model failed again and again, and is left alone for some seconds: {cause}"
_BROKEN = "What asks the language model is broken; the service's log says how."


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to write a prompt, for metrics.

    `outcome`: `accepted`, `rejected` (see `faults`), `skipped` (the breaker is open), `not-understood`, `broken`, or
    the trouble that a backend had. `seconds`: how long it took.
    """

    source: str
    outcome: str
    seconds: float
    faults: tuple[Fault, ...] = ()


class PromptAgent:
    """Has a prompt written by the first backend whose answer holds; by rules if none does; else the scene stays.

    One agent serves any number of asks at once. It holds nothing of a session.
    """

    def __init__(
        self,
        form: Form,
        backends: Sequence[Backend] = (),
        *,
        safety: SafetyHook | None = None,
        deadline: float = DEADLINE_SECONDS,
        observe: Callable[[Attempt], None] = lambda attempt: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline`: seconds that all backends have together. `observe` is told of every attempt. `clock`: seconds."""
        self._form = form
        self._backends = [(each, Breaker(BREAKER_FAILURES, BREAKER_SECONDS, clock)) for each in backends]
        self._safety = safety or WordList()
        self._deadline = deadline
        self._observe = observe
        self._clock = clock

    async def expand(
        self,
        scene: str,
        request: str,
        history: Sequence[str] = (),
        heard: Heard = lambda text: None,
    ) -> Expansion:
        """The prompt that shows `scene` with the one change that `request` names, and nothing else changed.

        `history`: `Expansion.added` of the changes before, oldest first. `heard` gets the words while they come, as the
        safety hook allows them; what it got may still be rejected. A request of several changes is expanded as its
        first: see `changes_of`. Raises Refused. Anything else that goes wrong is a warning.
        """
        began = self._clock()
        change, warnings = _first_change(request)
        asked = await self._allowed(change.text)
        ask = Ask(await self._allowed(clean_scene(scene)), asked, tuple(history)[-MAX_HISTORY:], change.cut)
        draft, source = await self._answer(ask, heard, warnings)
        if draft.left_out:
            warnings.append(f"Nothing was made of {', '.join(map(repr, draft.left_out))}.")
        cut = ask.cut and source != STOCK
        told = tuple(dict.fromkeys(warnings))
        return Expansion(draft.prompt, draft.added, source, self._clock() - began, told, cut)

    def suggest(self, scene: str, history: Sequence[str] = (), count: int = 4) -> list[str]:
        """Requests that a viewer may want next."""
        return self._form.suggest(clean_scene(scene), tuple(history), count)

    def same(self, scene: str, prompt: str) -> bool:
        """Whether the prompt shows what the scene does, in whatever words."""
        one, other = (self._form.stock(Ask(clean_scene(text), "")).prompt for text in (scene, prompt))
        return one == other

    async def _allowed(self, text: str) -> str:
        """What of the text may be said. Raises Refused."""
        verdict = await self._safety.judge(text)
        if verdict.reason:
            raise Refused(verdict.reason)
        return verdict.text

    async def _answer(self, ask: Ask, heard: Heard, warnings: list[str]) -> tuple[Draft, str]:
        if not ask.request:
            warnings.append(_EMPTY)
            return self._form.stock(ask), STOCK
        if speaks_to_the_writer(ask.request):
            warnings.append(_TO_THE_WRITER)
            return self._form.stock(ask), STOCK
        until = asyncio.get_running_loop().time() + self._deadline
        for backend, breaker in self._backends:
            if draft := await self._ask(backend, breaker, ask, heard, warnings, until):
                return draft, backend.name
        if draft := await self._by_rules(ask, warnings):
            return draft, RULES
        return self._form.stock(ask), STOCK

    async def _ask(
        self, backend: Backend, breaker: Breaker, ask: Ask, heard: Heard, warnings: list[str], until: float
    ) -> Draft | None:
        """A draft that holds, of as many tries as there may be; None, and a warning, where there is none."""
        for tries_left in reversed(range(TRIES)):
            began = self._clock()
            try:
                with breaker.call() as outcome:
                    draft = await self._in_time(backend, ask, heard, until, outcome)
                draft, faults = await self._judge(draft, ask)
            except LeftAlone as cause:
                self._tell(backend.name, "skipped", began)
                warnings.append(_LEFT_ALONE.format(cause=cause))
                return None
            except BackendError as error:
                self._tell(backend.name, error.trouble, began)
                if error.trouble.chance and tries_left and _seconds_to(until) > LEAST_SECONDS:
                    continue
                warnings.append(str(error))
                return None
            except Exception:
                log.exception("%s broke", backend.name)
                self._tell(backend.name, "broken", began)
                warnings.append(_BROKEN)
                return None
            if not faults:
                self._tell(backend.name, "accepted", began)
                return draft
            self._tell(backend.name, "rejected", began, faults)
            if not tries_left or _seconds_to(until) < LEAST_SECONDS:
                warnings.append(f"What the language model wrote cannot be used: {faults[0].detail}.")
                return None
        return None

    async def _in_time(self, backend: Backend, ask: Ask, heard: Heard, until: float, outcome: Outcome) -> Draft:
        """Tells the outcome, as far as it says something of the server: one that starts neither answers nor fails."""
        try:
            async with asyncio.timeout_at(until), judged(self._safety, heard) as written:
                draft = await backend.write(ask, written)
        except TimeoutError:
            outcome.failure = f"The language model did not answer within {self._deadline:g} s."
            raise BackendError(Trouble.timeout, outcome.failure) from None
        except BackendError as error:
            outcome.failure = str(error) if error.trouble.of_the_server else ""
            outcome.answered = not error.trouble.of_the_server and error.trouble not in (Trouble.starting, Trouble.died)
            raise
        except Exception:
            outcome.failure = _BROKEN
            raise
        outcome.answered = True
        return draft

    async def _by_rules(self, ask: Ask, warnings: list[str]) -> Draft | None:
        began = self._clock()
        try:
            draft, faults = await self._judge(self._form.write(ask), ask)
        except NotUnderstood as error:
            self._tell(RULES, "not-understood", began)
            warnings.append(str(error))
            return None
        except Exception:
            log.exception("the rules broke over %r", ask.request)
            self._tell(RULES, "broken", began)
            warnings.append("The rules broke over this request; the service's log says how.")
            return None
        self._tell(RULES, "rejected" if faults else "accepted", began, faults)
        if not faults:
            return draft
        warnings.append(f"The rules make no good prompt of it: {faults[0].detail}.")
        return None

    async def _judge(self, draft: Draft, ask: Ask) -> tuple[Draft, list[Fault]]:
        """The draft as it may be said, and what is wrong with it."""
        verdict = await self._safety.judge(draft.prompt)
        if verdict.reason:
            return draft, [Fault(FaultKind.unsafe, verdict.reason)]
        added = clean_request(draft.added)[:MAX_ADDED]
        if (await self._safety.judge(added)).reason:
            added = ask.request[:MAX_ADDED]
        draft = replace(draft, prompt=verdict.text, added=added)
        return draft, self._form.faults(draft, ask)

    def _tell(self, source: str, outcome: str, began: float, faults: Sequence[Fault] = ()) -> None:
        self._observe(Attempt(source, outcome, self._clock() - began, tuple(faults)))


def _seconds_to(until: float) -> float:
    return until - asyncio.get_running_loop().time()


def _first_change(request: str) -> tuple[Change, list[str]]:
    """The change to make, and a warning for each that is left out."""
    asked = changes_of(request)
    first, *others = asked.each or (Change(""),)
    return first, [*(f"One change at a time: ask for {other.text!r} by itself." for other in others), *asked.warnings]
