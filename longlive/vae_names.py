"""The tensor names of the Wan VAE in the diffusers layout, renamed to those of the original file.

The layouts differ in names only. Facts: `AutoencoderKLWan` of diffusers, which holds the same tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

MARK = "decoder.conv_in.weight"  # only in the diffusers layout

_TOP = {
    "quant_conv": "conv1",
    "post_quant_conv": "conv2",
    "conv_in": "conv1",
    "conv_out": "head.2",
    "norm_out": "head.0",
    "mid_block.resnets.0": "middle.0",
    "mid_block.attentions.0": "middle.1",
    "mid_block.resnets.1": "middle.2",
}
_RESIDUAL = {
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}
_NAME = re.compile(
    r"(?P<half>encoder\.|decoder\.|)"
    rf"(?:(?P<top>{'|'.join(map(re.escape, _TOP))})"
    r"|down_blocks\.(?P<down>\d+)"
    r"|up_blocks\.(?P<level>\d+)\.(?:resnets\.(?P<resnet>\d+)|(?P<upsampler>upsamplers\.0)))"
    rf"(?:\.(?P<part>{'|'.join(_RESIDUAL)}))?"
    r"\.(?P<rest>.+)"
)


def original_vae_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of either layout under the original names. ValueError for a foreign name."""
    if MARK not in state:
        return dict(state)
    resnets = _resnets_per_level(state)
    return {_original(name, resnets): tensor for name, tensor in state.items()}


def _original(name: str, resnets: int) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no parameter of a Wan VAE in the diffusers layout")
    if match["top"]:
        place = _TOP[match["top"]]
    elif match["down"]:
        place = f"downsamples.{match['down']}"
    else:
        inside = resnets if match["upsampler"] else int(match["resnet"])
        place = f"upsamples.{int(match['level']) * (resnets + 1) + inside}"
    part = f".{_RESIDUAL[match['part']]}" if match["part"] else ""
    return f"{match['half']}{place}{part}.{match['rest']}"


def _resnets_per_level(names: Iterable[str]) -> int:
    found = (re.match(r"decoder\.up_blocks\.0\.resnets\.(\d+)\.", name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=0)
