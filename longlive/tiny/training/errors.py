"""What can end a training, said so that its user knows how to go on."""

from __future__ import annotations


class TrainingError(Exception):
    """The training cannot go on; the message says what happened and what to do."""


class ResumeError(TrainingError):
    """A file in the work folder does not belong to the run that wants to go on with it."""
