"""What 8-bit linears cost and save: size, error of every layer, time of a chunk, and adherence beside bfloat16.

`python benchmarks/quantization.py --json --plot docs/quantization.png`
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from deployments.cli_tiny import pair_document
from longlive.config import TransformerConfig
from longlive.model import Model
from longlive.pipeline import load_model
from longlive.precision import Precision
from longlive.quantization import LAYERS, Quantized, quantize
from longlive.tiny.evaluation import evaluate_pair
from longlive.transformer import CausalWanTransformer
from report import emit, report

PROMPT = "a red ball moves left in the desert at night in the rain"
OTHER = "a blue cube hops on the sea by day in clear weather"
WIDE = (1560, 1536, 8960)  # rows, inputs, outputs: a feed-forward layer of the 1.3B model, one latent frame of 480x832
SCHEMES = (Precision.bfloat16, *LAYERS)


def size(config: TransformerConfig, precision: Precision) -> int:
    """Bytes of a transformer's weights."""
    with torch.device("meta"):
        transformer = CausalWanTransformer(config).to(precision.dtype)
    quantize(transformer, precision)
    return sum(tensor.nbytes for tensor in transformer.state_dict().values())


def layer_errors(model: Model) -> dict[str, dict[str, float]]:
    """By layer and scheme: error of the output relative to the float32 layer's, root of the mean square of both.

    Inputs are those of a float32 roll-out that fills the window, recaches it under another prompt and goes on.
    """
    squares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    blocks = copy.deepcopy(model.transformer).to(torch.bfloat16)
    quantize(blocks, Precision.int8)
    names = [name for name, module in blocks.named_modules() if isinstance(module, Quantized)]

    def watch(name: str, linear: nn.Linear) -> None:
        plain = copy.deepcopy(linear).to(torch.bfloat16)
        others = {Precision.bfloat16: plain, **{scheme: layer(plain) for scheme, layer in LAYERS.items()}}

        def compare(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            squares[name]["output"] += output.square().sum().item()
            for scheme, other in others.items():
                error = other(inputs[0].to(torch.bfloat16)).float() - output
                squares[name][scheme.value] += error.square().sum().item()

        hooks.append(linear.register_forward_hook(compare))

    hooks: list[Any] = []
    for name in names:
        linear = model.transformer.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        watch(name, linear)
    rollout = model.rollout(model.encode([PROMPT]), seed=0)
    for _ in range(_fill(model)):
        rollout.next_chunk()
    rollout.switch(model.encode([OTHER]))
    for _ in range(2):
        rollout.next_chunk()
    for hook in hooks:
        hook.remove()
    return {
        name: {
            scheme.value: round((squares[name][scheme.value] / squares[name]["output"]) ** 0.5, 5) for scheme in SCHEMES
        }
        for name in names
    }


def chunk_seconds(models: dict[Precision, Model], chunks: int) -> dict[Precision, tuple[float, float]]:
    """Median seconds of a steady chunk, of the DiT alone and with the decoder. The formats take turns."""
    rollouts = {scheme: model.rollout(model.encode([PROMPT]), seed=0) for scheme, model in models.items()}
    states = {scheme: model.decoder_state() for scheme, model in models.items()}
    dit: dict[Precision, list[float]] = defaultdict(list)
    whole: dict[Precision, list[float]] = defaultdict(list)
    fill = _fill(models[Precision.bfloat16])
    for chunk in range(fill + chunks):
        for scheme, model in models.items():
            start = time.perf_counter()
            latents = rollouts[scheme].next_chunk()
            middle = time.perf_counter()
            model.decode(latents, states[scheme])
            if chunk >= fill:
                dit[scheme].append(middle - start)
                whole[scheme].append(time.perf_counter() - start)
    return {scheme: (median(dit[scheme]), median(whole[scheme])) for scheme in models}


def wide_layer_seconds() -> dict[Precision, float]:
    """Median seconds of one feed-forward layer of the 1.3B model."""
    rows, inputs, outputs = WIDE
    plain = nn.Linear(inputs, outputs).to(torch.bfloat16).requires_grad_(False)
    x = torch.randn(1, rows, inputs, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    layers = {Precision.bfloat16: plain, **{scheme: layer(plain) for scheme, layer in LAYERS.items()}}
    seconds: dict[Precision, list[float]] = defaultdict(list)
    for _ in range(6):
        for scheme, layer in layers.items():
            start = time.perf_counter()
            layer(x)
            seconds[scheme].append(time.perf_counter() - start)
    return {scheme: median(values[1:]) for scheme, values in seconds.items()}


def measure(name: str, videos: int, chunks: int, progress: Callable[[], None]) -> dict[str, Any]:
    layers = layer_errors(load_model(name, Precision.float32))
    models = {scheme: load_model(name, scheme) for scheme in SCHEMES}
    plain = models[Precision.bfloat16]
    seconds, wide = chunk_seconds(models, chunks), wide_layer_seconds()
    schemes: dict[str, Any] = {}
    for scheme, model in models.items():
        errors = {layer: by_scheme[scheme.value] for layer, by_scheme in layers.items()}
        schemes[scheme.value] = {
            "model_bytes": size(plain.config.transformer, scheme),
            "longlive_1.3b_bytes": size(TransformerConfig(), scheme),
            "layer_error_median": round(median(errors.values()), 5),
            "layer_error_max": max(errors.values()),
            "worst_layer": max(errors, key=errors.__getitem__),
            "dit_over_bfloat16": round(seconds[scheme][0] / seconds[Precision.bfloat16][0], 3),
            "chunk_over_bfloat16": round(seconds[scheme][1] / seconds[Precision.bfloat16][1], 3),
            "wide_layer_over_bfloat16": round(wide[scheme] / wide[Precision.bfloat16], 3),
        }
        if scheme is not Precision.bfloat16:
            result = evaluate_pair(model, plain, range(videos), progress)
            schemes[scheme.value]["adherence"] = pair_document(Precision.bfloat16, result)
    return {
        "model": plain.config.name,
        "threads": torch.get_num_threads(),
        "bfloat16_chunk_seconds": round(seconds[Precision.bfloat16][1], 4),
        "schemes": schemes,
        "layers": layers,
    }


def plot(results: dict[str, Any], path: Path) -> None:
    """Error of every layer by scheme, the layers of a kind side by side in the order of their blocks."""
    from matplotlib.figure import Figure

    layers = results["layers"]
    kinds = list(dict.fromkeys(name.split(".", 2)[2] for name in layers))
    names = [name for kind in kinds for name in layers if name.endswith(f".{kind}")]
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for scheme in results["schemes"]:
        axes.plot([100 * layers[name][scheme] for name in names], ".", label=scheme)
    blocks = len(names) // len(kinds)
    for kind in range(1, len(kinds)):
        axes.axvline(kind * blocks - 0.5, color="0.85", linewidth=0.8, zorder=0)
    centres = [kind * blocks + (blocks - 1) / 2 for kind in range(len(kinds))]
    axes.set_xticks(centres, [kind.replace("_attn.", "\n") for kind in kinds])
    axes.set_xlabel(f"layer; in each column blocks 0 to {blocks - 1} from left to right")
    axes.set_ylabel("error of the output, % of its size (rms)")
    axes.set_ylim(0, 120 * max(max(errors.values()) for errors in layers.values()))
    axes.margins(x=0.01)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper right", ncols=len(results["schemes"]))
    figure.suptitle(f"Error of every quantised layer of the {results['model']} model, beside float32")
    figure.savefig(path, dpi=110)


def _fill(model: Model) -> int:
    """Chunks after which the window is full."""
    return model.config.rollout.window_frames // model.config.rollout.chunk_frames + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model of the tiny world")
    parser.add_argument("--videos", type=int, default=256, help="held-out scenes to judge, six readouts each")
    parser.add_argument("--chunks", type=int, default=40, help="chunks to time")
    parser.add_argument("--plot", type=Path, help="draw the layers' errors to this file (needs matplotlib)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("scenes", total=arguments.videos * len(LAYERS))
        results = measure(arguments.model, arguments.videos, arguments.chunks, lambda: progress.advance(bar))
    includes = {"dit": True, "decode": True, "encode": False, "http": False}
    emit(report("quantization", includes, results), arguments.json)
    if arguments.plot is not None:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
