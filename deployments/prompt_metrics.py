"""What is counted of the prompt agent's attempts; Ray exports it to Prometheus."""

from __future__ import annotations

from ray.serve import metrics

from prompt_agent.agent import Attempt

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5, 10.0]


class PromptMetrics:
    """Of one replica."""

    def __init__(self) -> None:
        # Ray says that there is one tag, and means any number of them.
        self._attempts = metrics.Counter(
            "longlive_prompt_attempts",
            "Tries to write a prompt, by who tried and what came of it.",
            tag_keys=("source", "outcome"),  # type: ignore[arg-type]
        )
        self._rejects = metrics.Counter(
            "longlive_prompt_rejects",
            "Faults of prompts that were written and not used, by who wrote them.",
            tag_keys=("source", "reason"),  # type: ignore[arg-type]
        )
        self._seconds = metrics.Histogram(
            "longlive_prompt_seconds",
            "What a try took.",
            boundaries=SECONDS,
            tag_keys=("source",),
        )
        self._expansions = metrics.Counter(
            "longlive_prompt_expansions",
            "Prompts that were asked for, by who wrote the one that is used.",
            tag_keys=("source",),
        )

    def tried(self, attempt: Attempt) -> None:
        """An attempt of the agent."""
        self._attempts.inc(tags={"source": attempt.source, "outcome": attempt.outcome})
        self._seconds.observe(attempt.seconds, tags={"source": attempt.source})
        for fault in attempt.faults:
            self._rejects.inc(tags={"source": attempt.source, "reason": fault.kind})

    def expanded(self, source: str) -> None:
        """A prompt that is used; `refused` where none is."""
        self._expansions.inc(tags={"source": source})
