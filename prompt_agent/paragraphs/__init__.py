"""Prompts that are one stand-alone paragraph: taken apart, changed by rules, brought into form, judged."""

from prompt_agent.paragraphs.form import ParagraphForm

__all__ = ["ParagraphForm"]
