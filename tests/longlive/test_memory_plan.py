"""A plan, made without memory, agrees with real allocations, and with the published sizes of the 1.3B model."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import Tensor

from longlive.allocations import Allocations
from longlive.config import DecoderName, ModelConfig
from longlive.config_file import read_config
from longlive.errors import InputError
from longlive.memory_plan import MemoryPlan, parse_bytes, plan_memory, reserved_bytes
from longlive.model import VideoModel, build_video_model
from longlive.precision import Precision
from longlive.rollout import Rollout
from longlive.stream import VideoStream
from longlive.text_encoder import build_text_encoder
from tests.longlive.allocator import reported
from tests.support import UNTRAINED

TINY = read_config(Path(str(resources.files("longlive"))) / "tiny" / "weights" / "config.json")
FULL = ModelConfig(name="full")
CHUNKS_OF_A_FULL_WINDOW = 4


def embeddings(config: ModelConfig, dtype: torch.dtype) -> Tensor:
    return torch.zeros(1, config.transformer.text_len, config.transformer.text_dim, dtype=dtype)


def used(model: VideoModel, sessions: int) -> list[VideoStream]:
    """Sessions that take turns on a model, each with a full window and a switch behind it."""
    streams = [VideoStream(model, embeddings(model.config, model.dtype), seed) for seed in range(sessions)]
    for chunk in range(CHUNKS_OF_A_FULL_WINDOW + 2):
        for stream in streams:
            if chunk == CHUNKS_OF_A_FULL_WINDOW:
                stream.switch(embeddings(model.config, model.dtype))
            stream.next_frames()
    return streams


@pytest.mark.parametrize(
    ("config", "precision", "decoder"),
    [
        (TINY, Precision.float32, "wan"),
        (TINY, Precision.bfloat16, "wan"),
        (TINY, Precision.int8, "tiny"),
        (TINY, Precision.fp8, "light"),
        (UNTRAINED, Precision.bfloat16, "wan"),
    ],
    ids=lambda value: value.name if isinstance(value, ModelConfig) else str(value),
)
def test_a_plan_is_what_sessions_really_allocate(
    config: ModelConfig, precision: Precision, decoder: DecoderName
) -> None:
    plan = plan_memory(config, precision, decoder)
    for sessions in (1, 3):
        with torch.inference_mode(), Allocations("cpu") as memory:
            model = build_video_model(config, precision, decoder, "cpu")
            assert memory.live == pytest.approx(plan.weights, rel=0.01)
            memory.reset_peak()
            streams = used(model, sessions)
            assert memory.peak == pytest.approx(plan.total(sessions), rel=0.05)
            assert memory.live == pytest.approx(plan.weights + sessions * plan.session, rel=0.05)
            del streams


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_a_plan_agrees_with_what_the_allocator_says(precision: Precision) -> None:
    plan = plan_memory(TINY, precision, "wan")
    model = build_video_model(TINY, precision, "wan", "cpu")
    assert reported(lambda: build_video_model(TINY, precision, "wan", "cpu")).held == pytest.approx(plan.weights, 0.01)
    assert reported(lambda: used(model, 1)).held == pytest.approx(plan.session, rel=0.05)
    assert reported(lambda: used(model, 3)).held == pytest.approx(3 * plan.session, rel=0.05)


def test_the_transformers_peak_is_what_the_allocator_says() -> None:
    plan = plan_memory(TINY, Precision.float32, "wan")
    model = build_video_model(TINY, Precision.float32, "wan", "cpu")

    def rolled_out() -> Rollout:
        rollout = model.rollout(embeddings(TINY, model.dtype), 0)
        for _ in range(CHUNKS_OF_A_FULL_WINDOW):
            rollout.next_chunk()
        rollout.switch(embeddings(TINY, model.dtype))
        rollout.next_chunk()
        return rollout

    assert reported(rolled_out).peak == pytest.approx(plan.session - plan.decoder_state + plan.recache, rel=0.05)


@pytest.fixture(scope="module")
def full() -> MemoryPlan:
    return plan_memory(FULL, Precision.bfloat16, "wan")


def test_the_full_size_plan_agrees_with_the_published_sizes(full: MemoryPlan) -> None:
    assert full.transformer == 1_418_996_800 * 2
    assert full.kv_cache == pytest.approx(3.45e9, rel=0.01)
    assert full.prompt == 30 * 2 * 512 * 1536 * 2
    assert full.decoder_state == pytest.approx(1.76 * 2**30, rel=0.01)
    assert full.decoder == pytest.approx(73.3e6 * 2, rel=0.01)
    assert full.snapshot <= 3 * 2**20


@pytest.mark.parametrize(("decoder", "parameters", "state_mib"), [("light", 4.62e6, 451), ("tiny", 9.84e6, 64)])
def test_small_decoders_take_their_published_sizes_and_change_nothing_else(
    full: MemoryPlan, decoder: DecoderName, parameters: float, state_mib: int
) -> None:
    plan = plan_memory(FULL, Precision.bfloat16, decoder)
    assert plan.decoder == pytest.approx(parameters * 2, rel=0.01)
    assert plan.decoder_state == pytest.approx(state_mib * 2**20, rel=0.01)
    assert (plan.transformer, plan.kv_cache, plan.rest) == (full.transformer, full.kv_cache, full.rest)
    assert plan.decode < full.decode / 3


def test_eight_bits_halve_the_transformer_and_no_session(full: MemoryPlan) -> None:
    plan = plan_memory(FULL, Precision.int8, "wan")
    assert plan.transformer <= 1.5e9
    assert plan.session == full.session


def test_a_text_encoder_counts_where_it_is_asked_for() -> None:
    with_it = plan_memory(TINY, Precision.float32, "wan", text_encoder=True)
    encoder = build_text_encoder(TINY.text_encoder, "cpu")
    assert with_it.text_encoder == 4 * sum(parameter.numel() for parameter in encoder.parameters())
    assert with_it.weights - with_it.text_encoder == plan_memory(TINY, Precision.float32, "wan").weights


def test_as_many_sessions_fit_as_leave_the_reserve_alone(full: MemoryPlan) -> None:
    memory = 141 * 10**9
    sessions = full.sessions_that_fit(memory)
    assert sessions > 1
    assert full.total(sessions) + reserved_bytes(memory) <= memory < full.total(sessions + 1) + reserved_bytes(memory)
    assert full.sessions_that_fit(8 * 10**9) == 0
    assert full.sessions_that_fit(full.least_memory) == 1
    assert full.sessions_that_fit(full.least_memory - 1) == 0


def test_a_reserve_is_a_share_of_the_memory_and_never_less_than_a_driver_needs() -> None:
    assert reserved_bytes(100 * 10**9) == 5 * 10**9
    assert reserved_bytes(10**9) == 512 * 2**20


@pytest.mark.parametrize(
    ("text", "size"),
    [("141GB", 141 * 10**9), ("80GiB", 80 * 2**30), ("24 GB", 24 * 10**9), ("1.5gb", 15 * 10**8), ("500MB", 5 * 10**8)],
)
def test_sizes_are_read_with_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "141", "GB", "141 bananas", "-3GB", "0GB", "1e3GB", "nan GB"])
def test_another_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match=r"141GB .*80GiB"):
        parse_bytes(text)
