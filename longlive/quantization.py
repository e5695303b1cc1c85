"""8-bit linear layers for the transformer's blocks, on plain torch: no tensor subclasses, one code for every device.

Weights have one scale per output channel, activations one per token, found as they come: symmetric, no calibration.
What is small or delicate stays as it is: patch, text and time embeddings, the time projection and the head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longlive.errors import InputError
from longlive.precision import Precision
from longlive.transformer import CausalWanTransformer

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}  # code of the largest number of a row
SIZE_STEP = 16  # both sizes of a layer must be multiples of this for the 8-bit matrix products of CUDA
LEAST_ROWS = 17  # of the left factor of an int8 product on CUDA
FP8_CAPABILITY = (8, 9)


def quantize(transformer: CausalWanTransformer, precision: Precision) -> None:
    """Replaces the linears of every block (queries, keys, values, outputs, feed-forward), in place.

    Nothing changes for `float32` and `bfloat16`; layers with a size that is no multiple of 16 stay as they are. Cast
    the transformer before, not after. InputError for `fp8` on a GPU that has no 8-bit floating-point products.
    """
    if precision not in LAYERS:
        return
    if precision is Precision.fp8:
        _require_fp8(transformer.device)
    for block in transformer.blocks:
        linears = {name: module for name, module in block.named_modules() if isinstance(module, nn.Linear)}
        for name, linear in linears.items():
            if not (linear.in_features % SIZE_STEP or linear.out_features % SIZE_STEP):
                block.set_submodule(name, LAYERS[precision](linear))


def quantize_rows(x: Tensor, code: torch.dtype) -> tuple[Tensor, Tensor]:
    """Codes of x [..., K] and float32 scales [..., 1] with x near codes * scales. A row of zeros stays zero."""
    scale = x.abs().amax(-1, keepdim=True).to(torch.float32) / LARGEST[code]
    scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
    scaled = x / scale
    return (scaled.round_() if code is torch.int8 else scaled).to(code), scale


class Quantized(nn.Module):
    """A linear layer made from a plain one: codes `weight` [N, K], their `scale` and the `bias` [N], all buffers."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias.detach())


class Int8Linear(Quantized):
    """8-bit weights and activations; the sums of products are exact (int32)."""

    def __init__(self, linear: nn.Linear) -> None:
        weight, scale = quantize_rows(linear.weight.detach(), torch.int8)
        super().__init__(weight, scale.flatten(), linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale = quantize_rows(x.flatten(0, -2), torch.int8)
        # In place: these sums are the largest tensors of a forward, four bytes an element.
        out = self._products(codes).to(torch.float32).mul_(scale).mul_(self.scale).add_(self.bias)
        return out.to(x.dtype).view(*x.shape[:-1], -1)

    def _products(self, codes: Tensor) -> Tensor:
        rows = len(codes)
        if rows < LEAST_ROWS:
            codes = F.pad(codes, (0, 0, 0, LEAST_ROWS - rows))
        return torch._int_mm(codes, self.weight.t())[:rows]


class Int8WeightLinear(Quantized):
    """8-bit weights, brought back to the activations' format at each call: half the memory, no more speed."""

    def __init__(self, linear: nn.Linear) -> None:
        weight = linear.weight.detach()
        # The scale is one of the layer's own format, so that a call multiplies by just the scale that was divided by.
        # Rounding it moves a code by less than half a step: 127 is not passed.
        scale = quantize_rows(weight, torch.int8)[1].to(weight.dtype)
        codes = (weight.to(torch.float32) / scale.to(torch.float32)).round_().to(torch.int8)
        super().__init__(codes, scale.flatten(), linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale[:, None], self.bias)


class Fp8Linear(Quantized):
    """Weights and activations in e4m3."""

    def __init__(self, linear: nn.Linear) -> None:
        weight, scale = quantize_rows(linear.weight.detach(), torch.float8_e4m3fn)
        super().__init__(weight, scale.flatten(), linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        codes, scale = quantize_rows(x.flatten(0, -2), torch.float8_e4m3fn)
        out = torch._scaled_mm(
            codes,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale[None],
            bias=self.bias,
            out_dtype=x.dtype,
            use_fast_accum=True,
        )
        return out.view(*x.shape[:-1], -1)


LAYERS: dict[Precision, type[Int8Linear | Int8WeightLinear | Fp8Linear]] = {
    Precision.int8: Int8Linear,
    Precision.int8_weight: Int8WeightLinear,
    Precision.fp8: Fp8Linear,
}


def _require_fp8(device: torch.device) -> None:
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < FP8_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise InputError(f"{name} has no 8-bit floating-point products (from Ada and Hopper on); use int8 or bfloat16")
