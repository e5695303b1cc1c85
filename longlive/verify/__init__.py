"""Compares the engine with recorded numbers of the reference, in any folder of goldens."""

from longlive.verify.case import CaseResult
from longlive.verify.runner import run_verify

__all__ = ["CaseResult", "run_verify"]
