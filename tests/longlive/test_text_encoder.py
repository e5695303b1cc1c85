from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from longlive.config import TextEncoderConfig
from longlive.text_encoder import (
    END_ID,
    TextEncoder,
    build_text_encoder,
    clean_prompt,
    convert_umt5_keys,
    load_tokenizer,
    publish_umt5_keys,
)
from tests.longlive.goldens import full_golden_dir, golden_dir

TOLERANCE = 2e-5
BF16_RELATIVE_RMS = 0.03
TEXT_LEN = 8
VOCABULARY = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "fox": 5, "runs": 6, ",": 7, "&": 8}


def word_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def encoder_from(weights: dict[str, Tensor], sizes: dict[str, int], dtype: torch.dtype) -> TextEncoder:
    kept = ("dim", "dim_attn", "dim_ffn", "num_heads", "num_layers", "num_buckets", "max_distance")
    model = build_text_encoder(TextEncoderConfig(vocab_size=sizes["vocab"], **{key: sizes[key] for key in kept}))
    model.load_state_dict(
        convert_umt5_keys({key: tensor.to(dtype) for key, tensor in weights.items()}), strict=True, assign=True
    )
    return TextEncoder(model, word_tokenizer(), TEXT_LEN)


def load_set(folder: Path, config: str) -> tuple[dict[str, Tensor], dict[str, int], dict[str, Tensor]]:
    sizes = json.loads((folder / config).read_text())["t5"]
    return load_file(folder / "t5_weights.safetensors"), sizes, load_file(folder / "t5_io.safetensors")


@pytest.fixture(scope="module")
def golden() -> tuple[dict[str, Tensor], dict[str, int], dict[str, Tensor]]:
    return load_set(golden_dir("longlive"), "vae_t5_config.json")


@pytest.fixture(scope="module")
def encoder(golden: tuple[dict[str, Tensor], dict[str, int], dict[str, Tensor]]) -> TextEncoder:
    weights, sizes, _ = golden
    return encoder_from(weights, sizes, torch.float32)


@torch.no_grad()
def test_raw_output_of_all_rows_matches_the_golden(encoder: TextEncoder, golden: tuple) -> None:
    io = golden[2]
    raw = encoder.model(input_ids=io["ids"], attention_mask=io["mask"]).last_hidden_state
    torch.testing.assert_close(raw, io["output_raw"], atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_prompt_embeddings_match_the_golden(encoder: TextEncoder, golden: tuple) -> None:
    io = golden[2]
    together = encoder.encode_ids(io["ids"], io["mask"])
    torch.testing.assert_close(together, io["prompt_embeds"], atol=TOLERANCE, rtol=0)
    assert not together[io["mask"] == 0].any()


@torch.no_grad()
def test_a_prompt_encoded_alone_equals_itself_beside_a_longer_one(encoder: TextEncoder, golden: tuple) -> None:
    io = golden[2]
    alone = encoder.encode_ids(io["ids"][1:], io["mask"][1:])
    assert alone.shape == io["prompt_embeds"][1:].shape
    torch.testing.assert_close(alone, io["prompt_embeds"][1:], atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_bfloat16_stays_close(golden: tuple) -> None:
    weights, sizes, io = golden
    embeds = encoder_from(weights, sizes, torch.bfloat16).encode_ids(io["ids"], io["mask"])
    assert embeds.dtype == torch.bfloat16
    error = (embeds.float() - io["prompt_embeds"]).norm() / io["prompt_embeds"].norm()
    assert error < BF16_RELATIVE_RMS


def test_full_wan_set() -> None:
    weights, sizes, io = load_set(full_golden_dir("wan"), "config.json")
    with torch.no_grad():
        embeds = encoder_from(weights, sizes, torch.float32).encode_ids(io["ids"], io["mask"])
    torch.testing.assert_close(embeds, io["prompt_embeds"], atol=TOLERANCE, rtol=0)


def test_the_full_size_model_has_the_published_parameters() -> None:
    published = json.loads((golden_dir("keys") / "umt5_keys.json").read_text())
    shapes = dict(published["non_block_keys"])
    for block in range(published["block_count"]):
        prefix = published["block_prefix"].format(i=block)
        shapes |= {prefix + key: shape for key, shape in published["block_keys"].items()}
    model = build_text_encoder(TextEncoderConfig())
    state = publish_umt5_keys(model.state_dict())
    assert {key: list(tensor.shape) for key, tensor in state.items()} == shapes
    assert len(state) == published["num_tensors"]


def test_key_conversion_and_its_inverse_cover_everything(golden: tuple) -> None:
    weights = golden[0]
    converted = convert_umt5_keys(weights)
    assert converted["encoder.embed_tokens.weight"] is converted["shared.weight"]
    assert publish_umt5_keys(converted) == weights


@pytest.mark.parametrize("key", ["blocks.0.attn.z.weight", "token_embedding.bias", "model.norm.weight"])
def test_a_foreign_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        convert_umt5_keys({key: torch.zeros(1)})


def test_attention_is_eager_in_every_layer() -> None:
    config = TextEncoderConfig(vocab_size=8, dim=8, dim_attn=8, dim_ffn=8, num_heads=2, num_layers=2)
    model = build_text_encoder(config)
    layers = [block.layer[0].SelfAttention for block in model.encoder.block]
    assert {layer.config._attn_implementation for layer in layers} == {"eager"}


def test_training_keeps_the_embedding_tied() -> None:
    config = TextEncoderConfig(vocab_size=8, dim=8, dim_attn=8, dim_ffn=8, num_heads=2, num_layers=1)
    model = build_text_encoder(config, "cpu")
    encoder = TextEncoder(model, word_tokenizer(), TEXT_LEN)
    encoder.encode_ids(torch.tensor([[3, 4, 1, 0]]), torch.tensor([[1, 1, 1, 0]])).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert model.shared.weight is model.encoder.embed_tokens.weight


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a\tred \n\n fox ", "a red fox"),
        ("fox &amp;amp; hound", "fox & hound"),
        ("the fox\u00e2\u20ac\u2122s den", "the fox's den"),
        ("A Red FOX", "A Red FOX"),
    ],
)
def test_prompts_are_cleaned_but_keep_their_case(raw: str, clean: str) -> None:
    assert clean_prompt(raw) == clean


def test_tokens_are_cleaned_ended_padded_and_cut(encoder: TextEncoder) -> None:
    ids, mask = encoder.tokenize(["a red\nfox &amp;amp; a fox", "a " * 20, ""])
    assert ids.tolist() == [[3, 4, 5, 8, 3, 5, 1, 0], [3, 3, 3, 3, 3, 3, 3, END_ID], [END_ID, 0, 0, 0, 0, 0, 0, 0]]
    assert mask.sum(dim=1).tolist() == [7, 8, 1]
    assert torch.equal(mask, (ids != 0).long())


def test_unknown_words_are_left_out_of_the_tokens(encoder: TextEncoder) -> None:
    ids, _ = encoder.tokenize(["a red zebra! fox", "a red fox"])
    assert ids[0].tolist() == ids[1].tolist()


def test_unknown_words_and_those_that_are_cut_are_told_apart(encoder: TextEncoder) -> None:
    text = "a zebra fox runs, a red fox runs"  # seven tokens are read beside the end: up to the second "fox"
    assert encoder.cut_words(text) == ["runs"]
    assert encoder.unknown_words(text) == ["zebra"]
    assert encoder.unknown_words("a red fox runs") == encoder.cut_words("a red fox runs") == []


def test_padding_set_in_the_tokenizer_file_is_ignored() -> None:
    tokenizer = word_tokenizer()
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(2)
    encoder = TextEncoder(build_text_encoder(TextEncoderConfig(dim=64)), tokenizer, TEXT_LEN)
    assert encoder.tokenize(["a red fox"])[0].tolist() == [[3, 4, 5, 1, 0, 0, 0, 0]]


def test_texts_become_embeddings_without_gradient(encoder: TextEncoder) -> None:
    embeds = encoder(["a red fox", "a fox runs, a fox runs"])
    assert embeds.shape == (2, TEXT_LEN, 32)
    assert not embeds.requires_grad
    assert embeds[0, :4].abs().sum(dim=1).all()
    assert not embeds[0, 4:].any()


def test_unknown_words_are_named_once_and_in_order(encoder: TextEncoder) -> None:
    assert encoder.unknown_words("a red dragon runs, a wyvern; a dragon!") == ["dragon", "wyvern"]
    assert encoder.unknown_words("a red fox runs") == []


def test_unknown_pieces_name_their_whole_word() -> None:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("\u2581a", -1.0), ("\u2581fox", -1.0)]
    tokenizer = Tokenizer(models.Unigram([*pieces, ("\u2581", -2.0), ("es", -2.0)], unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    encoder = TextEncoder(build_text_encoder(TextEncoderConfig(dim=64)), tokenizer, TEXT_LEN)
    assert encoder.unknown_words("a fox a zebra foxes") == ["zebra"]


def test_a_tokenizer_that_spells_bytes_knows_every_word() -> None:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("\u2581a", -1.0), ("\u2581", -2.0)]
    pieces += [(f"<0x{byte:02X}>", -8.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    encoder = TextEncoder(build_text_encoder(TextEncoderConfig(dim=64)), tokenizer, TEXT_LEN)
    assert encoder.unknown_words("a zebra") == []


def test_a_tokenizer_is_read_from_a_file_or_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
    word_tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json is no tokenizer"):
        load_tokenizer(tmp_path / "broken.json")
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert load_tokenizer(path).encode("a fox").ids == [3, 5]
