"""How well the prompt agent turns what viewers type into prompts, and how fast.

`python benchmarks/prompts.py --json`. The requests of `prompt_cases.toml`, in several languages and on scenes as people
have them, and hostile ones, are expanded one after the other: by the rules, or by a language model behind `--llm-url`,
for which the rules step in where it fails, as in the service. The answers are judged by words that were written by hand
for each request, not by the agent's own checks. `--show` prints each prompt beside its request, for those who want to
read. With the rules, the exit status is 1 if they miss a bar. Nothing of the service or of a video model runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from typing import TextIO

from prompt_agent.agent import DEADLINE_SECONDS, PromptAgent
from prompt_agent.backends.chat import ChatBackend, ChatServer, always
from prompt_agent.backends.dialect import Dialect
from prompt_agent.expansion import Refused
from prompt_agent.paragraphs.form import ParagraphForm
from prompt_agent.profile import ParagraphProfile, load_profile
from prompt_cases import CaseBook, load_cases
from prompt_figures import Answer, Judgement, judge, judge_hostile, results_of
from report import emit, report, reserve_stdout, say

PROFILE = "full"
INCLUDES = {"dit": False, "decode": False, "encode": False, "http": False}


async def ask(agent: PromptAgent, scene: str, request: str) -> Answer:
    """One request, as the service makes it."""
    began = time.perf_counter()
    expansion = None
    with contextlib.suppress(Refused):
        expansion = await agent.expand(scene, request)
    return Answer(expansion, time.perf_counter() - began)


async def measure(agent: PromptAgent, book: CaseBook, instructions: str) -> list[Judgement]:
    """Every request, one after the other."""
    await ask(agent, book.scenes[0].prompt, "make it rain")  # what is loaded once is loaded
    judgements = []
    for scene in book.scenes:
        for case in scene.cases:
            answer = await ask(agent, scene.prompt, case.request)
            judgements.append(judge(case, scene, answer, instructions))
        say(f"{scene.name}: {len(scene.cases)} requests")
    for hostile in book.hostile:
        scene = book.scene(hostile.scene)
        judgements.append(judge_hostile(hostile, scene, await ask(agent, scene.prompt, hostile.text), instructions))
    say(f"{len(book.hostile)} hostile requests")
    return judgements


def show(book: CaseBook, judgements: list[Judgement], out: TextIO) -> None:
    """Each prompt beside its request, by scene, and what is wrong with it."""
    for scene in book.scenes:
        print(f"\n{'=' * 3} {scene.name}\n{scene.prompt}", file=out)
        for each in judgements:
            if each.scene != scene.name:
                continue
            print(f"\n[{each.language}, {each.kind}] {each.request[:200]!r} ({each.source})", file=out)
            print(f"  {each.prompt or '-'}", file=out)
            for line in (*each.wrong, *(f"warning: {warning}" for warning in each.warnings)):
                print(f"  ! {line}", file=out)


async def expand_all(arguments: argparse.Namespace, form: ParagraphForm, book: CaseBook) -> list[Judgement]:
    if not arguments.llm_url:
        return await measure(PromptAgent(form), book, form.instructions())
    key = os.environ[arguments.llm_key_env] if arguments.llm_key_env else None
    server = ChatServer(arguments.llm_url, arguments.llm_model, key)
    backend = ChatBackend(form, always(server), arguments.llm_dialect)
    try:
        agent = PromptAgent(form, [backend], deadline=arguments.deadline)
        return await measure(agent, book, form.instructions())
    finally:
        await backend.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--show", action="store_true", help="print every prompt, for people; with --json to stderr")
    parser.add_argument("--llm-url", help="ask this language model first: an OpenAI-compatible URL, with its /v1")
    parser.add_argument("--llm-model", help="its name there")
    parser.add_argument("--llm-key-env", metavar="VAR", help="the environment variable that holds its key")
    parser.add_argument("--llm-dialect", type=Dialect, choices=list(Dialect), default=Dialect.vllm)
    parser.add_argument("--deadline", type=float, default=DEADLINE_SECONDS, help="seconds that it has for an answer")
    arguments = parser.parse_args()
    if bool(arguments.llm_url) != bool(arguments.llm_model):
        parser.error("--llm-url and --llm-model belong together")
    if arguments.llm_key_env and arguments.llm_key_env not in os.environ:
        parser.error(f"the environment has no {arguments.llm_key_env}")

    out = reserve_stdout()
    book, profile = load_cases(), load_profile(PROFILE)
    assert isinstance(profile, ParagraphProfile)
    judgements = asyncio.run(expand_all(arguments, ParagraphForm(profile), book))
    results = {"backend": arguments.llm_model or "rules", "profile": PROFILE}
    held_out = {scene.name for scene in book.scenes if scene.held_out}
    results |= results_of(judgements, not arguments.llm_url, held_out)
    if arguments.show:
        show(book, judgements, sys.stderr if arguments.json else out)
    emit(report("prompts", INCLUDES, results), arguments.json, out)
    return 0 if results.get("passed", True) else 1


if __name__ == "__main__":
    sys.exit(main())
