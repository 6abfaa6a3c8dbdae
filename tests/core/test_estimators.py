"""The estimators against closed forms, in float64 by another road, and on what must come out exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoe_core import estimators as est
from emoe_core.errors import EMoEError


def latents(experts: int = 4, samples: int = 3, items: int = 2, size: int = 500, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(experts, samples, items, size, generator=generator)


def in_float64(name: str, prompt: torch.Tensor, empty: torch.Tensor) -> np.ndarray:
    """The same formulas by numpy in double precision."""
    m, e = prompt.double().numpy(), empty.double().numpy()
    shift = m - e
    return {
        "variance": lambda: m.var(axis=0, ddof=1).mean(-1),
        "relative": lambda: m.var(axis=0, ddof=1).mean(-1) / (m**2).mean((0, 3)),
        "centred_relative": lambda: shift.var(axis=0, ddof=1).mean(-1) / (shift**2).mean((0, 3)),
        "response": lambda: 1 / (m[0] ** 2).mean(-1),
        "guidance": lambda: 1 / (shift[0] ** 2).mean(-1),
    }[name]()


@pytest.mark.parametrize("name", est.ESTIMATORS)
def test_every_estimator_equals_the_double_precision_formula(name: str) -> None:
    prompt, empty = latents(seed=1), latents(seed=2)
    got = est.estimator(name).compute(prompt, empty)
    assert got.shape == (3, 2)
    np.testing.assert_allclose(got.numpy(), in_float64(name, prompt, empty), rtol=2e-6)


@pytest.mark.parametrize("name", ["variance", "relative"])
def test_half_precision_with_a_large_offset_keeps_its_digits(name: str) -> None:
    """Latents of 1000 +- 1 in float16 are multiples of 0.5: the variance of those very numbers must come out."""
    prompt = (1000 + latents(seed=3)).half()
    got = est.estimator(name).compute(prompt, None)
    np.testing.assert_allclose(got.numpy(), in_float64(name, prompt, prompt), rtol=1e-5)


def test_known_variance_by_hand() -> None:
    """Experts at -1, 0 and 1 in every dimension: unbiased variance 1, mean square 2/3."""
    prompt = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(3, 1, 1, 7)
    assert float(est.estimator("variance").compute(prompt, None)) == 1.0
    assert float(est.estimator("relative").compute(prompt, None)) == pytest.approx(1.5)


@pytest.mark.parametrize("experts", [2, 3, 5, 7])
@pytest.mark.parametrize("name", ["variance", "relative"])
def test_identical_experts_give_exactly_zero(name: str, experts: int) -> None:
    """Not nearly: the mean of three equal floats need not be that float, so the plain formula would leave dust."""
    one = latents(experts=1, seed=4) * 0.1 + 1 / 3
    got = est.estimator(name).compute(one.expand(experts, -1, -1, -1), None)
    assert bool((got == 0).all())


def test_unbiased_over_the_number_of_experts() -> None:
    """Sets of 2, 3 and 8 experts estimate one quantity, here 4."""
    for experts in (2, 3, 8):
        prompt = 2 * latents(experts=experts, samples=1, items=1, size=200_000, seed=experts)
        assert float(est.estimator("variance").compute(prompt, None)) == pytest.approx(4, rel=0.02)


def test_relative_is_free_of_scale_and_variance_is_not() -> None:
    prompt = latents(seed=5)
    relative, variance = est.estimator("relative").compute, est.estimator("variance").compute
    torch.testing.assert_close(relative(8 * prompt, None), relative(prompt, None))
    torch.testing.assert_close(variance(8 * prompt, None), 64 * variance(prompt, None))


def test_unrelated_features_give_the_constant_that_makes_them_useless() -> None:
    """Independent features: relative is 1 for every prompt whatever M, which is why lineage is checked."""
    for experts in (2, 4):
        got = est.estimator("relative").compute(latents(experts=experts, size=100_000), None)
        assert bool((got - 1).abs().max() < 0.02)


@pytest.mark.parametrize("name", ["centred_relative", "guidance"])
def test_a_prompt_without_effect_is_an_error_and_not_a_number(name: str) -> None:
    prompt = latents(seed=6)
    with pytest.raises(EMoEError, match="same prediction as the empty prompt"):
        est.estimator(name).compute(prompt, prompt)


@pytest.mark.parametrize("name", ["centred_relative", "guidance"])
def test_a_missing_empty_prompt_is_said(name: str) -> None:
    with pytest.raises(EMoEError, match="empty prompt"):
        est.estimator(name).compute(latents(), None)


def test_an_unknown_estimator_lists_the_known_ones() -> None:
    with pytest.raises(EMoEError, match="relative, centred_relative, variance, response, guidance"):
        est.estimator("median")


def test_law_of_total_variance() -> None:
    """With equal weights and biased variances total = mean within + between, exactly; ours are the unbiased parts."""
    prompt = latents(experts=4, samples=6, seed=7)
    parts = est.decompose(prompt)
    m = prompt.double().numpy()
    assert parts.seed is not None
    np.testing.assert_allclose(parts.epistemic.numpy(), m.var(0, ddof=1).mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(parts.seed.numpy(), m.mean(0).var(0, ddof=1).mean(-1), rtol=1e-5)
    total = m.var(axis=(0, 1)).mean(-1)
    np.testing.assert_allclose(total, parts.epistemic.numpy() * 3 / 4 + parts.seed.numpy() * 5 / 6, rtol=1e-5)


def test_one_noise_sample_has_no_seed_variance_and_no_error() -> None:
    assert est.decompose(latents(samples=1)).seed is None
    mean, error = est.summarise(torch.tensor([[1.0, 2.0]]))
    assert mean.tolist() == [1, 2] and error is None


def test_standard_error_over_noise_samples() -> None:
    mean, error = est.summarise(torch.tensor([[1.0], [2.0], [3.0], [6.0]]))
    assert float(mean) == 3
    assert error is not None and float(error) == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_pairwise_distances_find_the_copy_and_the_outlier() -> None:
    prompt = latents(experts=4, seed=8)
    prompt[1] = prompt[0]
    prompt[3] *= 5
    distance = est.pairwise_distances(prompt)
    assert float(distance[0, 1]) == 0 and bool((distance.diagonal() == 0).all())
    assert float(distance[0, 3]) > float(distance[0, 2]) > 0
    torch.testing.assert_close(distance, distance.T)
