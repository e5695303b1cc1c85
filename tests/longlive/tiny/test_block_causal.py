"""What training computes in one forward is what serving computes chunk by chunk."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.config import TransformerConfig
from longlive.kv_cache import KVCache
from longlive.tiny.training.block_causal import BlockCausalMemory, Pattern
from longlive.transformer import CausalWanTransformer, TextContext

CHUNK, CHUNKS = 3, 5
CONFIG = TransformerConfig(
    dim=48, num_heads=2, ffn_dim=64, num_layers=3, freq_dim=16, text_dim=8, text_len=4, in_channels=4, out_channels=4
)


@pytest.fixture(scope="module")
def transformer() -> CausalWanTransformer:
    torch.manual_seed(0)
    transformer = CausalWanTransformer(CONFIG)
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.normal_(std=0.3)
    return transformer


def _cache(transformer: CausalWanTransformer) -> KVCache:
    return KVCache(
        layers=CONFIG.num_layers,
        batch=1,
        frames=12,
        sink=3,
        heads=CONFIG.num_heads,
        rotary=transformer.rotary(8, 8),
        positions="relative",
        dtype=torch.float32,
    )


def _streamed(
    transformer: CausalWanTransformer, text: TextContext, clean: Tensor, noisy: Tensor, recached: int
) -> list[Tensor]:
    """Flow of each noisy chunk from `recached` on, at time 700, after the clean chunks before it."""
    cache, flows = _cache(transformer), []
    for i in range(CHUNKS):
        frames = range(CHUNK * i, CHUNK * (i + 1))
        chunk = slice(frames.start, frames.stop)
        if i == recached and i:
            rewritten = cache.rewritable(keep_sink=True)
            cache.begin(rewritten)
            transformer(clean[:, : len(rewritten)], torch.zeros(1, len(rewritten)), text, cache)
        cache.begin(frames)
        if i >= recached:
            flows.append(transformer(noisy[:, chunk], torch.full((1, CHUNK), 700.0), text, cache))
        transformer(clean[:, chunk], torch.zeros(1, CHUNK), text, cache)
    return flows


@pytest.mark.parametrize("recached", [0, 1, 2, 3, 4])
def test_teacher_forcing_equals_streaming_with_and_without_a_recache(
    transformer: CausalWanTransformer, recached: int
) -> None:
    generator = torch.Generator().manual_seed(recached)
    clean, noisy = (torch.randn(1, CHUNK * CHUNKS, 4, 8, 8, generator=generator) for _ in range(2))
    pattern = Pattern(CHUNKS - 1, recached, recached, CHUNKS - 1, copies=2)
    with torch.inference_mode():
        text = transformer.encode_text(torch.randn(1, 4, 8, generator=generator))
        expected = torch.cat(_streamed(transformer, text, clean, noisy, recached), 1)
        tail = noisy[:, CHUNK * recached :]
        sequence = torch.cat((clean[:, : CHUNK * (CHUNKS - 1)], tail, tail), 1)
        times = torch.cat((torch.zeros(1, CHUNK * (CHUNKS - 1)), torch.full((1, 2 * tail.shape[1]), 700.0)), 1)
        flow = transformer(sequence, times, text, BlockCausalMemory(pattern, transformer.rotary(8, 8)))
    for copy in flow[:, CHUNK * (CHUNKS - 1) :].chunk(2, 1):
        torch.testing.assert_close(copy, expected, rtol=0, atol=2e-4)
    if recached < CHUNKS - 1:  # and the comparison means something: chunks differ by far more than the tolerance
        assert float((flow[:, -CHUNK:] - expected[:, :CHUNK]).abs().max()) > 0.1
