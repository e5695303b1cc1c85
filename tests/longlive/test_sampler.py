from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from longlive.config import SamplerConfig
from longlive.sampler import FewStepSampler, renoise, sigma_table, to_x0
from tests.longlive.goldens import golden_dir


def test_tables_and_warped_steps_are_those_of_the_reference() -> None:
    golden = load_file(golden_dir("longlive") / "inputs.safetensors")
    timesteps = torch.tensor(FewStepSampler(SamplerConfig()).timesteps[:-1])
    for own, name in (
        (sigma_table(5.0), "scheduler.sigmas"),
        (sigma_table(5.0) * 1000, "scheduler.timesteps"),
        (timesteps, "denoising_timesteps"),
    ):
        torch.testing.assert_close(own, golden[name], atol=0, rtol=1e-6)


def test_without_warp_the_steps_are_taken_as_they_are() -> None:
    assert FewStepSampler(SamplerConfig(warp=False)).timesteps == (1000.0, 750.0, 500.0, 250.0, 0.0)


def test_no_timestep_has_a_level_of_zero() -> None:
    assert FewStepSampler(SamplerConfig()).sigma(0.0) == pytest.approx(0.00498, abs=1e-5)


def test_a_prediction_undoes_the_noise_and_finished_frames_get_none() -> None:
    clean, noise = torch.randn(2, 1, 3, 4, 5, 6)
    sigma = torch.tensor(0.7, dtype=torch.float64)
    noisy = renoise(clean, noise, sigma)
    torch.testing.assert_close(to_x0(noise - clean, noisy, sigma), clean, atol=1e-5, rtol=0)
    assert torch.equal(renoise(clean, noise, torch.tensor(0.0, dtype=torch.float64)), clean)


@pytest.mark.parametrize("steps", [(), (1000, 0), (1001,)])
def test_steps_outside_of_the_table_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="denoising_steps"):
        SamplerConfig(denoising_steps=steps)
