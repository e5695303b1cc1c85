"""`longlive plan`: how many sessions fit in a GPU's memory, before anybody rents one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli_input import Decoder, DecoderOption, ModelOption, WrongInput, precision_among, users_input
from longlive.precision import Precision

if TYPE_CHECKING:
    from rich.table import Table

    from longlive.memory_plan import MemoryPlan

GB = 10**9


def plan(
    gpu_memory: Annotated[str, typer.Option(help="Of one GPU: 141GB (10**9 bytes) or 80GiB (2**30 bytes).")],
    model: ModelOption = "tiny",
    dtype: Annotated[
        Precision, typer.Option(parser=precision_among(*Precision), metavar="FORMAT", help=f"{', '.join(Precision)}.")
    ] = Precision.bfloat16,
    decoder: DecoderOption = Decoder.wan,
    text_encoder: Annotated[bool, typer.Option("--text-encoder", help="Prompts are read on the same GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, in bytes.")] = False,
) -> None:
    """What a model and its sessions need of a GPU's memory, and how many sessions fit. Needs no weights and no GPU."""
    from longlive.checkpoints import decoder_file_of
    from longlive.memory_plan import parse_bytes, plan_memory, reserved_bytes
    from longlive.model_folder import find_model

    with users_input():
        memory = parse_bytes(gpu_memory)
        config = find_model(model).config
        decoder_file_of(config.files, decoder.value)
        planned = plan_memory(config, dtype, decoder.value, text_encoder=text_encoder)
    sessions = planned.sessions_that_fit(memory)
    if not sessions:
        raise WrongInput(
            f"no session of {config.name} fits in {_gb(memory)}: with {dtype.value} and the {decoder.value} decoder "
            f"one needs {_gb_at_least(planned.least_memory)}; take a larger GPU, or a smaller --dtype or --decoder"
        )
    if as_json:
        document = {
            "model": config.name,
            "dtype": dtype.value,
            "decoder": decoder.value,
            "memory": memory,
            "sessions": sessions,
            "bytes": {
                **asdict(planned),
                "weights": planned.weights,
                "session": planned.session,
                "workspace": planned.workspace,
                "reserved": reserved_bytes(memory),
            },
        }
        print(json.dumps(document, indent=2))
        return
    from rich.console import Console

    fit = "1 session fits" if sessions == 1 else f"{sessions} sessions fit"
    print(f"{config.name}, {dtype.value}, {decoder.value} decoder: {fit} in {_gb(memory)}")
    Console().print(_table(planned, memory, sessions))


def _table(planned: MemoryPlan, memory: int, sessions: int) -> Table:
    from rich import box
    from rich.table import Table

    from longlive.memory_plan import UNITS, reserved_bytes

    table = Table(box=box.SIMPLE_HEAD)
    unit = "GB" if planned.session >= GB // 10 else "MB"
    table.add_column("memory")
    table.add_column(unit, justify="right")

    def add(name: str, size: int, *parts: tuple[str, int]) -> None:
        table.add_row(name, f"{size / UNITS[unit]:.3f}", style="bold")
        for part, part_size in parts:
            table.add_row(f"  {part}", f"{part_size / UNITS[unit]:.3f}")

    add(
        "weights",
        planned.weights,
        ("transformer", planned.transformer),
        ("decoder", planned.decoder),
        *([("text encoder", planned.text_encoder)] if planned.text_encoder else []),
    )
    add(
        "each session",
        planned.session,
        ("keys and values of the window", planned.kv_cache),
        ("keys and values of the prompt", planned.prompt),
        ("decoder's state", planned.decoder_state),
        ("latents, noise, embeddings", planned.rest),
    )
    add(
        "workspace, the largest of",
        planned.workspace,
        ("making a chunk", planned.chunk),
        ("recache at a prompt switch", planned.recache),
        ("decoding a chunk", planned.decode),
    )
    add("reserve: driver, libraries, gaps", reserved_bytes(memory))
    table.add_section()
    add("all together", planned.total(sessions) + reserved_bytes(memory))
    table.add_row("snapshot of a session, in host memory", f"{planned.snapshot / UNITS[unit]:.3f}")
    return table


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB"


def _gb_at_least(size: int) -> str:
    """Rounded up: who takes that much has enough."""
    tenths = -(-size * 10 // GB)
    return f"{tenths / 10:.1f} GB"
