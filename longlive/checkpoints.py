"""Published checkpoint files in, modules with weights out (reference sheet, section 8).

Modules are built without memory and take the file's tensors as they are, so that a load needs one copy at most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from longlive.config import DecoderName, ModelFiles, TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.decoder import VideoDecoder
from longlive.errors import CheckpointError, InputError
from longlive.identity import model_identity
from longlive.layouts import Shapes, umt5_shapes
from longlive.lora import Adapter, read_adapter
from longlive.model import Model, VideoModel, build_decoder
from longlive.model_folder import ModelFolder
from longlive.precision import Precision
from longlive.quantization import quantize
from longlive.state_dicts import SHOWN, read_state_dict
from longlive.taehv import TAEHVDecoder
from longlive.text_encoder import TextEncoder, build_text_encoder, convert_umt5_keys, load_tokenizer
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanDecoder, WanVAE
from longlive.vae_names import original_vae_names

if TYPE_CHECKING:
    from tokenizers import Tokenizer
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


@dataclass(frozen=True)
class _Matched(Generic[M]):
    """A module without memory, and the tensors of a file, still in it, that have its names and shapes."""

    module: M
    state: Mapping[str, Tensor]
    adapter: Adapter | None

    def filled(self, dtype: torch.dtype, device: torch.device | str) -> M:
        """The module, frozen, with an adapter merged weight by weight in float32 before the cast to `dtype`."""
        self.module.load_state_dict(
            {name: self._weight(name, dtype, device) for name in self.state},
            assign=True,
        )
        return self.module.to(device, dtype).requires_grad_(False).eval()

    def _weight(self, name: str, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        mapped = self.state[name]
        placed = mapped.to(device)
        weight = (self.adapter.merged(name, placed) if self.adapter else placed).to(dtype)
        # What is still part of the file would end the process if somebody wrote into the file.
        return weight.clone() if weight is mapped else weight


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
    return _match_transformer(path, config, entry, adapter).filled(dtype, device)


def load_vae(path: Path, config: VAEConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> WanVAE:
    """The whole video VAE, from either layout of names, frozen."""
    with torch.device("meta"):
        vae = WanVAE(config)
    return _match(vae, _vae_tensors(path), path).filled(dtype, device)


def load_decoder(
    name: DecoderName, path: Path, config: VAEConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> VideoDecoder:
    """What turns the latents of the VAE with this configuration into frames, frozen.

    A whole VAE's file will do; its encoder is not kept. InputError if there is no such decoder for this VAE.
    """
    return _match_decoder(name, path, config).filled(dtype, device)


def load_text_encoder(
    path: Path, config: TextEncoderConfig, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> UMT5EncoderModel:
    """The UMT5 encoder from its published names, frozen."""
    state = _text_encoder_tensors(path, config)
    return _Matched(build_text_encoder(config, device="meta"), state, None).filled(dtype, device)


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
    transformer = _match_model_s_transformer(model).filled(dtype, device)
    quantize(transformer, precision)
    frame_maker = load_decoder(decoder, decoder_file, config.vae, dtype, device)
    return VideoModel(config, transformer, frame_maker, dtype, device, model_identity(config, weights))


def load_prompt_encoder(model: ModelFolder, precision: Precision, device: torch.device) -> TextEncoder:
    """The parts of a model that read prompts: the text encoder with its tokenizer."""
    config, encoder_file = model.config, model.file(model.config.files.text_encoder)
    tokenizer = _tokenizer(model)
    encoder = load_text_encoder(encoder_file, config.text_encoder, precision.dtype, device)
    return TextEncoder(encoder, tokenizer, config.transformer.text_len)


def check_files(model: ModelFolder, decoder: DecoderName) -> None:
    """Raises what `load_model` would raise of the model's files; of their weights it reads names and shapes only."""
    require_files(model, decoder)
    config, files = model.config, model.config.files
    _match_model_s_transformer(model)
    _match_decoder(decoder, model.file(decoder_file_of(files, decoder)), config.vae)
    _tokenizer(model)
    _text_encoder_tensors(model.file(files.text_encoder), config.text_encoder)


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
    known = {"wan": files.vae, "light": files.light_decoder, "tiny": files.tiny_decoder}
    if file := known[decoder]:
        return file
    there = ", ".join(name for name, path in known.items() if path)
    raise InputError(
        f"this model has no decoder '{decoder}', only {there}: leave --decoder out (the config.json of a model folder "
        "of yours may name the file of one)"
    )


def _match_model_s_transformer(model: ModelFolder) -> _Matched[CausalWanTransformer]:
    files = model.config.files
    adapter = read_adapter(model.file(files.adapter.file), files.adapter) if files.adapter else None
    return _match_transformer(model.file(files.transformer), model.config.transformer, files.entry, adapter)


def _match_transformer(
    path: Path, config: TransformerConfig, entry: str, adapter: Adapter | None
) -> _Matched[CausalWanTransformer]:
    _require_sizes(path, config)
    with torch.device("meta"):
        transformer = CausalWanTransformer(config)
    return _match(transformer, read_state_dict(path, entry), path, adapter)


def _match_decoder(name: DecoderName, path: Path, config: VAEConfig) -> _Matched[WanDecoder | TAEHVDecoder]:
    try:
        with torch.device("meta"):
            decoder = build_decoder(name, config)
    except ValueError as error:
        raise InputError(f"this model can have no decoder '{name}': {error}") from error
    return _match(decoder, decoder.own_weights(_vae_tensors(path)), path)


def _text_encoder_tensors(path: Path, config: TextEncoderConfig) -> dict[str, Tensor]:
    """Under the names of the library's module, which takes seconds to import and is not needed to compare them."""
    published = read_state_dict(path)
    try:
        state = convert_umt5_keys(published)
    except ValueError as error:
        raise CheckpointError(f"{path} is not a text encoder: {error}") from error
    _require_fit("UMT5EncoderModel", umt5_shapes(config), published, path)
    return state


def _tokenizer(model: ModelFolder) -> Tokenizer:
    path, vocabulary = model.file(model.config.files.tokenizer), model.config.text_encoder.vocab_size
    try:
        tokenizer = load_tokenizer(path)
    except ValueError as error:
        raise CheckpointError(f"{error}; copy or download it again") from error
    if tokenizer.get_vocab_size() > vocabulary:
        raise CheckpointError(
            f"the tokenizer {path} has {tokenizer.get_vocab_size()} tokens, the text encoder {vocabulary}; "
            "take the files of one model"
        )
    return tokenizer


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


def _match(module: M, state: Mapping[str, Tensor], path: Path, adapter: Adapter | None = None) -> _Matched[M]:
    """CheckpointError unless the names and shapes of a file are the module's, and the adapter fits them."""
    expected = module.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    _require_fit(type(module).__name__, shapes, state, path)
    if adapter:
        adapter.require_fit(expected)
    return _Matched(module, state, adapter)


def _require_fit(kind: str, expected: Shapes, state: Mapping[str, Tensor], path: Path) -> None:
    faults = [
        *(f"{name} is missing" for name in expected.keys() - state.keys()),
        *(f"{name} is unknown" for name in state.keys() - expected.keys()),
        *(
            f"{name} is {list(state[name].shape)}, expected {list(expected[name])}"
            for name in expected.keys() & state.keys()
            if tuple(state[name].shape) != expected[name]
        ),
    ]
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise CheckpointError(
            f"{path} does not fit a {kind} of this configuration: {'; '.join(sorted(faults)[:SHOWN])}{more}. "
            "Check that the file and the configuration belong together; `longlive inspect` says what a file holds"
        )
