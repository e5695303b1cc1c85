from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from longlive.precision import Precision


def test_short_names_mean_what_everybody_means_by_them() -> None:
    assert Precision("bf16") is Precision.bfloat16
    assert Precision("fp32") is Precision.float32
    with pytest.raises(ValueError, match="fp16"):
        Precision("fp16")


def test_a_torch_format_is_the_precision_whose_weights_are_all_of_it() -> None:
    assert Precision.of(torch.float32) is Precision.float32
    assert Precision.of(torch.bfloat16) is Precision.bfloat16
    assert Precision.of(Precision.fp8) is Precision.fp8
    with pytest.raises(ValueError, match="float16"):
        Precision.of(torch.float16)


def test_beside_its_8_bit_layers_a_model_is_bfloat16() -> None:
    formats = {precision: precision.dtype for precision in Precision}
    assert formats.pop(Precision.float32) is torch.float32
    assert set(formats.values()) == {torch.bfloat16}


def test_the_choices_can_be_named_without_torch() -> None:
    code = "import sys; from longlive.precision import Precision; print('torch' in sys.modules, *Precision)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", *Precision]
