"""Published checkpoint files in, modules with weights out (reference sheet, section 8).

Modules are built without memory and take the file's tensors as they are, so that a load needs one copy at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from longlive.config import DecoderName, ModelFiles, TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.decoder import VideoDecoder
from longlive.errors import CheckpointError, InputError
from longlive.identity import model_identity
from longlive.lora import Adapter, read_adapter
from longlive.model import Model, VideoModel, build_decoder
from longlive.model_folder import ModelFolder
from longlive.precision import Precision
from longlive.quantization import quantize
from longlive.state_dicts import SHOWN, read_state_dict
from longlive.text_encoder import TextEncoder, build_text_encoder, convert_umt5_keys, load_tokenizer
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanVAE
from longlive.vae_names import original_vae_names

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

_WAN_CLASSES = ("WanModel", "CausalWanModel")
_WAN_SIZES = {
    "dim": "dim",
    "ffn_dim": "ffn_dim",
    "freq_dim": "freq_dim",
    "num_heads": "num_heads",
    "num_layers": "num_layers",
    "in_dim": "in_channels",
    "out_dim": "out_channels",
    "text_len": "text_len",
    "eps": "eps",
}  # the names in a Wan folder's config.json, and ours

M = TypeVar("M", bound=nn.Module)


def load_transformer(
    path: Path,
    config: TransformerConfig,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    entry: str = "generator",
    adapter: Adapter | None = None,
) -> CausalWanTransformer:
    """The DiT of a Wan folder, or that under `entry` of a training checkpoint, frozen.

    An adapter is merged weight by weight in float32, before the cast to `dtype`.
    """
    _require_sizes(path, config)
    with torch.device("meta"):
        transformer = CausalWanTransformer(config)
    return _filled(transformer, read_state_dict(path, entry), path, dtype, device, adapter)


def load_vae(path: Path, config: VAEConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> WanVAE:
    """The whole video VAE, from either layout of names, frozen."""
    with torch.device("meta"):
        vae = WanVAE(config)
    return _filled(vae, _vae_tensors(path), path, dtype, device)


def load_decoder(
    name: DecoderName, path: Path, config: VAEConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> VideoDecoder:
    """What turns the latents of the VAE with this configuration into frames, frozen.

    A whole VAE's file will do; its encoder is not kept. InputError if there is no such decoder for this VAE.
    """
    try:
        with torch.device("meta"):
            decoder = build_decoder(name, config)
    except ValueError as error:
        raise InputError(f"this model can have no decoder '{name}': {error}") from error
    return _filled(decoder, decoder.own_weights(_vae_tensors(path)), path, dtype, device)


def load_text_encoder(
    path: Path, config: TextEncoderConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> UMT5EncoderModel:
    """The UMT5 encoder from its published names, frozen."""
    try:
        state = convert_umt5_keys(read_state_dict(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not a text encoder: {error}") from error
    return _filled(build_text_encoder(config, device="meta"), state, path, dtype, device)


def load_model(model: ModelFolder, precision: Precision, device: torch.device, decoder: DecoderName = "wan") -> Model:
    """A whole model. Files that are not there are told before anything is read."""
    require_files(model, decoder)
    video = load_video_model(model, precision, device, decoder)
    text_encoder = load_prompt_encoder(model, precision, device)
    return Model(**vars(video), text_encoder=text_encoder)


def load_video_model(
    model: ModelFolder, precision: Precision, device: torch.device, decoder: DecoderName = "wan"
) -> VideoModel:
    """A model without the parts that read prompts."""
    config, files, dtype = model.config, model.config.files, precision.dtype
    weights = [model.file(file) for file in transformer_files_of(files)]
    decoder_file = model.file(decoder_file_of(files, decoder))
    adapter = read_adapter(weights[1], files.adapter) if files.adapter else None
    transformer = load_transformer(weights[0], config.transformer, dtype, device, entry=files.entry, adapter=adapter)
    quantize(transformer, precision)
    frame_maker = load_decoder(decoder, decoder_file, config.vae, dtype, device)
    return VideoModel(config, transformer, frame_maker, dtype, device, model_identity(config, weights))


def load_prompt_encoder(model: ModelFolder, precision: Precision, device: torch.device) -> TextEncoder:
    """The parts of a model that read prompts: the text encoder with its tokenizer."""
    config, files = model.config, model.config.files
    encoder_file, tokenizer_file = model.file(files.text_encoder), model.file(files.tokenizer)
    try:
        tokenizer = load_tokenizer(tokenizer_file)
    except ValueError as error:
        raise CheckpointError(f"{error}; copy or download it again") from error
    if tokenizer.get_vocab_size() > config.text_encoder.vocab_size:
        raise CheckpointError(
            f"the tokenizer {tokenizer_file} has {tokenizer.get_vocab_size()} tokens, "
            f"the text encoder {config.text_encoder.vocab_size}; take the files of one model"
        )
    encoder = load_text_encoder(encoder_file, config.text_encoder, precision.dtype, device)
    return TextEncoder(encoder, tokenizer, config.transformer.text_len)


def require_files(model: ModelFolder, decoder: DecoderName) -> None:
    """CheckpointError if a file of the model is not there, InputError if it has no such decoder."""
    files = model.config.files
    for relative in (
        *transformer_files_of(files),
        decoder_file_of(files, decoder),
        files.text_encoder,
        files.tokenizer,
    ):
        model.file(relative)


def transformer_files_of(files: ModelFiles) -> list[str]:
    """The file of the transformer, and then that of its adapter if there is one."""
    return [files.transformer, *([files.adapter.file] if files.adapter else [])]


def decoder_file_of(files: ModelFiles, decoder: DecoderName) -> str:
    """The file that a decoder's weights are in. InputError if the model has none."""
    file = {"wan": files.vae, "light": files.light_decoder, "tiny": files.tiny_decoder}[decoder]
    if file is None:
        raise InputError(f"this model has no decoder '{decoder}'; leave --decoder out, or name its file in 'files'")
    return file


def _vae_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return original_vae_names(read_state_dict(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not a video VAE: {error}") from error


def _require_sizes(path: Path, config: TransformerConfig) -> None:
    """Holds a Wan folder's own config.json against ours: no tensor's shape tells the number of heads."""
    try:
        published: Any = json.loads(path.with_name("config.json").read_bytes())
    except (OSError, ValueError):
        return
    if not isinstance(published, dict) or published.get("_class_name") not in _WAN_CLASSES:
        return
    for theirs, ours in _WAN_SIZES.items():
        if theirs in published and published[theirs] != getattr(config, ours):
            raise CheckpointError(
                f"{path.with_name('config.json')} says {theirs} = {published[theirs]}, the model's configuration "
                f"{ours} = {getattr(config, ours)}; take the files of one model"
            )


def _filled(
    module: M,
    state: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype,
    device: torch.device | str,
    adapter: Adapter | None = None,
) -> M:
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
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise CheckpointError(
            f"{path} does not fit a {type(module).__name__} of this configuration: "
            f"{'; '.join(sorted(faults)[:SHOWN])}{more}. Check that the file and the configuration belong together; "
            "`longlive inspect` says what a file holds"
        )
    if adapter:
        adapter.require_fit(expected)
    placed = ((name, tensor.to(device)) for name, tensor in state.items())
    weights = {name: (adapter.merged(name, tensor) if adapter else tensor).to(dtype) for name, tensor in placed}
    module.load_state_dict(weights, assign=True)
    return module.to(device, dtype).requires_grad_(False).eval()
