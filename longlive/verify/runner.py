"""Finds the cases of a folder and runs the chosen ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from longlive.verify.case import Case, CaseResult, discovered, run_case
from longlive.verify.components import VAEGoldens, text_cases
from longlive.verify.folder import GoldenFolder
from longlive.verify.forwards import forward_cases
from longlive.verify.rollouts import RolloutCases
from longlive.verify.subject import Subject
from longlive.verify.tables import layout_cases, sampler_cases, table_cases


def run_verify(
    folder: Path, dtype: torch.dtype, device: torch.device | str = "cpu", cases: Sequence[str] | None = None
) -> Iterator[CaseResult]:
    """Results, one by one, of the cases of a folder laid out like the LongLive or the Wan component goldens.

    Everything is read from the folder: dimensions, windows, switches, prompts. `cases` picks some, each by its name, by
    the start of its name up to a dot, by its group (`single_forward`, `rollouts`, `recache_state`, `lora`, `tables`,
    `weights`, `vae`, `t5`) or by a pattern with `*`. A choice that picks nothing is a failed result of that name, and
    so is a folder without a case. A damaged file fails the cases that need it, and no other; what the folder records
    and this version does not know is a result that is not supported.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"there are tolerances for float32 and bfloat16, not for {dtype}")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    found = list(_cases(GoldenFolder(folder), dtype, device))
    chosen = [case for case in found if cases is None or any(_picks(choice, case) for choice in cases)]
    lost = [choice for choice in cases or () if not any(_picks(choice, case) for case in found)]
    if not found and not lost:
        lost = ["any"]
    # A float32 comparison must not multiply in TF32.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=dtype != torch.float32):
        for case in chosen:
            yield run_case(case, dtype)
        for choice in lost:
            yield run_case(Case(choice, "", "forward", None), dtype)


def _cases(folder: GoldenFolder, dtype: torch.dtype, device: torch.device | str) -> Iterator[Case]:
    subject = Subject(folder, dtype, device)
    rollouts = RolloutCases(subject)
    for name, group, find in (
        ("single_forward", "single_forward", lambda: forward_cases(subject)),
        ("rollouts", "rollouts", rollouts.rollouts),
        ("recache_state", "recache_state", rollouts.switches),
        ("lora_outputs", "lora", rollouts.adapted),
        ("inputs", "tables", lambda: sampler_cases(subject)),
        ("tables", "tables", lambda: table_cases(folder)),
        ("weights", "weights", lambda: layout_cases(folder)),
        ("vae_io", "vae", lambda: VAEGoldens(folder, dtype, device).cases()),
        ("t5_io", "t5", lambda: text_cases(folder, dtype, device)),
    ):
        yield from discovered(f"{name}.safetensors", group, find)
    for file in folder.unknown_files():
        yield Case(file, "", "statistic", None)


def _picks(choice: str, case: Case) -> bool:
    return choice == case.group or case.name.startswith(f"{choice}.") or fnmatchcase(case.name, choice)
