"""The UMT5 prompt encoder: text cleaning, tokens, embeddings, and the published parameter names."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from longlive.config import TextEncoderConfig

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import UMT5EncoderModel

PAD_ID = 0
END_ID = 1
UNKNOWN_TOKENS = ("<unk>", "[UNK]")

_MODEL_KEYS = {
    "token_embedding.weight": "shared.weight",
    "norm.weight": "encoder.final_layer_norm.weight",
}
_BLOCK_KEYS = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}
_TIED_KEY = "encoder.embed_tokens.weight"


def convert_umt5_keys(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of `models_t5_umt5-xxl-enc-bf16.pth` for `UMT5EncoderModel`; ValueError for a foreign key."""
    converted: dict[str, Tensor] = {}
    for key, tensor in published.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", key)
        if key in _MODEL_KEYS:
            converted[_MODEL_KEYS[key]] = tensor
        elif block and block[2] in _BLOCK_KEYS:
            converted[f"encoder.block.{block[1]}.{_BLOCK_KEYS[block[2]]}.weight"] = tensor
        else:
            raise ValueError(f"{key!r} is no parameter of the published UMT5 encoder")
    if "shared.weight" in converted:
        converted[_TIED_KEY] = converted["shared.weight"]
    return converted


def publish_umt5_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `convert_umt5_keys`: the state of an `UMT5EncoderModel` under the published names."""
    model_keys = {theirs: ours for ours, theirs in _MODEL_KEYS.items()}
    block_keys = {theirs: ours for ours, theirs in _BLOCK_KEYS.items()}
    published: dict[str, Tensor] = {}
    for key, tensor in state.items():
        block = re.fullmatch(r"encoder\.block\.(\d+)\.(.+)\.weight", key)
        if key in model_keys:
            published[model_keys[key]] = tensor
        elif block:
            published[f"blocks.{block[1]}.{block_keys[block[2]]}.weight"] = tensor
        elif key != _TIED_KEY:
            raise ValueError(f"{key!r} is no parameter of an UMT5 encoder")
    return published


def build_text_encoder(config: TextEncoderConfig, device: torch.device | str = "meta") -> UMT5EncoderModel:
    """An encoder with random weights on `device`, or without any on `meta`.

    Eager attention and no dropout: bit-equal to the published code in float32 and bfloat16.
    """
    from transformers import UMT5Config, UMT5EncoderModel

    library_config = UMT5Config(
        vocab_size=config.vocab_size,
        d_model=config.dim,
        d_kv=config.dim_attn // config.num_heads,
        d_ff=config.dim_ffn,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        relative_attention_num_buckets=config.num_buckets,
        relative_attention_max_distance=config.max_distance,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
        attn_implementation="eager",  # type: ignore[call-arg]  # set later, it would not reach the inner stack
    )
    with torch.device(device):
        model = UMT5EncoderModel(library_config)
    # One module under both names: the tie then survives a load that assigns tensors instead of copying them.
    model.set_input_embeddings(model.shared)
    return model.eval()


def load_tokenizer(path: Path) -> Tokenizer:
    """Reads a `tokenizer.json`, or the one in a folder. FileNotFoundError without one, ValueError if it is damaged."""
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"no tokenizer at {file}")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more special
        raise ValueError(f"{file} is no tokenizer: {error}") from error


def clean_prompt(text: str) -> str:
    """Repairs mojibake, resolves HTML entities (twice, for doubly escaped ones) and collapses white space."""
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", repaired).strip()


def encode_ids(model: UMT5EncoderModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Embeddings of `[N, L]` ids, zero where `mask` is; differentiable.

    Encodes only up to the longest prompt: padding is masked and positions are relative, so the result is the same.
    """
    device = model.shared.weight.device
    longest = int(mask.sum(dim=1).max())
    kept = mask[:, :longest].to(device)
    hidden = model(input_ids=ids[:, :longest].to(device), attention_mask=kept).last_hidden_state
    hidden = hidden.masked_fill(kept.unsqueeze(-1) == 0, 0)
    return F.pad(hidden, (0, 0, 0, ids.shape[1] - longest))


class TextEncoder:
    """Prompts to embeddings `[N, text_len, dim]` whose rows past a prompt's own tokens are zero."""

    def __init__(self, model: UMT5EncoderModel, tokenizer: Tokenizer, text_len: int) -> None:
        self.model = model
        self.text_len = text_len
        self._tokenizer = tokenizer
        # Length and padding are decided here, whatever the tokenizer file says.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids = (tokenizer.token_to_id(token) for token in UNKNOWN_TOKENS)
        self._unknown_id = next((id_ for id_ in ids if id_ is not None), None)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of raw prompts, on the model's device and in its dtype."""
        return self.encode_ids(*self.tokenize(texts))

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask, both `[N, text_len]` int64, of the cleaned texts: cut to fit, ended, padded.

        Unknown words are left out: no model has learnt what to make of their common token.
        """
        ids = torch.full((len(texts), self.text_len), PAD_ID)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            known = [token for token in self._read(clean_prompt(text)).ids if token != self._unknown_id]
            tokens = [*known[: self.text_len - 1], END_ID]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return ids, mask

    def encode_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `encode_ids`."""
        return encode_ids(self.model, ids, mask)

    def unknown_words(self, text: str) -> list[str]:
        """Words of the cleaned prompt that the vocabulary lacks, in order; none if the tokenizer can spell any word."""
        text = clean_prompt(text)
        encoding = self._read(text)
        return _words(text, encoding, [i for i, token in enumerate(encoding.ids) if token == self._unknown_id])

    def cut_words(self, text: str) -> list[str]:
        """Words at the end of the cleaned prompt that do not fit into `text_len` tokens, in order."""
        text = clean_prompt(text)
        encoding = self._read(text)
        known = [i for i, token in enumerate(encoding.ids) if token != self._unknown_id]
        return _words(text, encoding, known[self.text_len - 1 :])

    def _read(self, text: str) -> Encoding:
        return self._tokenizer.encode(text, add_special_tokens=False)


def _words(text: str, encoding: Encoding, tokens: Sequence[int]) -> list[str]:
    """The words, each once and without punctuation, that the tokens of these numbers belong to."""
    words: dict[str, None] = {}
    for index in dict.fromkeys(encoding.word_ids[token] for token in tokens):
        span = None if index is None else encoding.word_to_chars(index)
        word = text[slice(*span)].strip() if span else ""
        if any(letter.isalnum() for letter in word):
            words[word] = None
    return list(words)
