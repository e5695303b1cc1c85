"""Published checkpoint files in, modules with weights out (reference sheet, section 8).

Modules are built without memory and take the file's tensors as they are, so that a load needs one copy at most.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longlive.config import TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.config_file import read_config
from longlive.errors import CheckpointError
from longlive.model import Model, VideoModel
from longlive.precision import Precision
from longlive.quantization import quantize
from longlive.text_encoder import TextEncoder, build_text_encoder, convert_umt5_keys, load_tokenizer
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanVAE

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

WRAPPERS = (
    "generator",
    "generator_ema",
    "generator_lora",
    "model",
)  # top-level entries of a training checkpoint, the first one counts
_WRAPPED = re.compile(r"(^model\.)|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|_orig_mod\.")
_SHOWN = 4

M = TypeVar("M", bound=nn.Module)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or a torch pickle (tensors only), under their plain names.

    Training checkpoints are unwrapped (`generator`, `generator_ema` or `model`), and prefixes that wrappers of a
    module left in its names are removed. CheckpointError if the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a .safetensors, .pt or .pth file")
    tensors = _unwrapped(path, _read(path))
    plain = {_plain_name(name): tensor for name, tensor in tensors.items()}
    if len(plain) != len(tensors):
        raise CheckpointError(f"{path} holds a tensor under several prefixes; keep one copy of the weights in it")
    return plain


def load_transformer(
    path: Path, config: TransformerConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> CausalWanTransformer:
    """The DiT of a Wan folder or of a LongLive checkpoint, frozen."""
    with torch.device("meta"):
        transformer = CausalWanTransformer(config)
    return _filled(transformer, read_state_dict(path), path, dtype, device)


def load_vae(path: Path, config: VAEConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> WanVAE:
    """The video VAE, frozen."""
    with torch.device("meta"):
        vae = WanVAE(config)
    return _filled(vae, read_state_dict(path), path, dtype, device)


def load_text_encoder(
    path: Path, config: TextEncoderConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> UMT5EncoderModel:
    """The UMT5 encoder from its published names, frozen."""
    try:
        state = convert_umt5_keys(read_state_dict(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not a text encoder: {error}") from error
    return _filled(build_text_encoder(config, device="meta"), state, path, dtype, device)


def load_model(folder: Path, dtype: Precision | torch.dtype, device: torch.device | str = "cpu") -> Model:
    """A model folder: config.json, {transformer,vae,text_encoder}.safetensors and tokenizer.json."""
    video = load_video_model(folder, dtype, device)
    text_encoder = load_prompt_encoder(folder, dtype, device)
    return Model(video.config, video.transformer, video.decoder, video.dtype, video.device, text_encoder)


def load_video_model(folder: Path, dtype: Precision | torch.dtype, device: torch.device | str = "cpu") -> VideoModel:
    """A model folder without the parts that read prompts."""
    config = read_config(folder / "config.json")
    precision = Precision.of(dtype)
    dtype = precision.dtype
    transformer = load_transformer(folder / "transformer.safetensors", config.transformer, dtype, device)
    quantize(transformer, precision)
    vae = load_vae(folder / "vae.safetensors", config.vae, dtype, device)
    return VideoModel(config, transformer, vae, dtype, torch.device(device))


def load_prompt_encoder(
    folder: Path, dtype: Precision | torch.dtype, device: torch.device | str = "cpu"
) -> TextEncoder:
    """The parts of a model folder that read prompts: the text encoder with its tokenizer."""
    config = read_config(folder / "config.json")
    try:
        tokenizer = load_tokenizer(folder)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error}; a model folder has a tokenizer.json") from error
    except ValueError as error:
        raise CheckpointError(f"{error}; copy or download it again") from error
    if tokenizer.get_vocab_size() > config.text_encoder.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has {tokenizer.get_vocab_size()} tokens, "
            f"the text encoder {config.text_encoder.vocab_size}; take the files of one model"
        )
    dtype = Precision.of(dtype).dtype
    encoder = load_text_encoder(folder / "text_encoder.safetensors", config.text_encoder, dtype, device)
    return TextEncoder(encoder, tokenizer, config.transformer.text_len)


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged ({error}); copy or download it again") from error
    try:
        # Old torch files are no zip archives and cannot be mapped into memory.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no torch file of plain tensors, and nothing else is opened because it could run code; "
            "save the state dict alone, best as .safetensors"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy or download it again") from error


def _unwrapped(path: Path, content: Any) -> Mapping[str, Tensor]:
    if isinstance(content, Mapping):
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), content)
        if inner and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in inner.items()):
            return inner
        found = ", ".join(str(name) for name in list(inner)[:_SHOWN]) or "nothing"
    else:
        found = type(content).__name__
    raise CheckpointError(
        f"{path} holds no state dict (found {found}); it must be one, or have one under {', '.join(WRAPPERS)}"
    )


def _plain_name(name: str) -> str:
    while (plain := _WRAPPED.sub("", name)) != name:
        name = plain
    return name


def _filled(module: M, state: Mapping[str, Tensor], path: Path, dtype: torch.dtype, device: torch.device | str) -> M:
    expected = module.state_dict()
    faults = [
        *(f"{name} is missing" for name in expected.keys() - state.keys()),
        *(f"{name} is unknown" for name in state.keys() - expected.keys()),
        *(
            f"{name} is {list(state[name].shape)}, expected {list(expected[name].shape)}"
            for name in expected.keys() & state.keys()
            if state[name].shape != expected[name].shape
        ),
    ]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CheckpointError(
            f"{path} does not fit a {type(module).__name__} of this configuration: "
            f"{'; '.join(sorted(faults)[:_SHOWN])}{more}. Check that the file and the configuration belong together"
        )
    module.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state.items()}, assign=True)
    return module.to(device, dtype).requires_grad_(False).eval()
