"""The estimators against closed forms, in float64 by another road, and on what must come out exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoe_core.errors import EMoEError
from emoe_core.scoring import estimators as est
from emoe_core.scoring import variance


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
        "centred": lambda: shift.var(axis=0, ddof=1).mean(-1),
        "cosine": lambda: cosine_in_float64(m),
        "whitened": lambda: (m.var(axis=0, ddof=1) / spread_in_float64(e)).mean(-1),
        "pairwise_mi": lambda: pairwise_mi_in_float64(m),
        "centred_layout": lambda: centred_layout_in_float64(shift),
    }[name]()


CHANNEL = torch.arange(5).repeat_interleave(100)


def spread_in_float64(e: np.ndarray) -> np.ndarray:
    """Variance of each channel over experts, noise and places, [B, D]."""
    by_channel = e.reshape(*e.shape[:3], 5, 100).var(axis=(0, 1, 4))
    return np.repeat(by_channel, 100, axis=-1)


def centred_layout_in_float64(shift: np.ndarray) -> np.ndarray:
    """Channel by channel: what is left of variance and mean square without the part of the channel's mean."""
    by_channel = shift.reshape(*shift.shape[:3], 5, 100)
    even = by_channel.mean(-1)
    variance = by_channel.var(axis=0, ddof=1).mean((-1, -2)) - even.var(axis=0, ddof=1).mean(-1)
    size = (by_channel**2).mean((0, 3, 4)) - (even**2).mean((0, 3))
    return variance / size


def cosine_in_float64(m: np.ndarray) -> np.ndarray:
    pairs = [(i, j) for i in range(len(m)) for j in range(i)]
    return np.mean(
        [1 - (m[i] * m[j]).sum(-1) / np.linalg.norm(m[i], axis=-1) / np.linalg.norm(m[j], axis=-1) for i, j in pairs],
        axis=0,
    )


def pairwise_mi_in_float64(m: np.ndarray) -> np.ndarray:
    """ln M - 1/M sum_i ln sum_j exp(-D_ij), the form of the authors' code (equal weights, zero covariance)."""
    count = len(m)
    distance = ((m[:, None] - m[None]) ** 2).mean(-1)
    return -(np.log(1 / count) + np.log(np.exp(-distance).sum(1)).sum(0) / count)


@pytest.mark.parametrize("name", est.ESTIMATORS)
def test_every_estimator_equals_the_double_precision_formula(name: str) -> None:
    prompt, empty = latents(seed=1), latents(seed=2)
    got = est.estimator(name).compute(est.Measured(prompt, empty, CHANNEL))
    assert got.shape == (3, 2)
    np.testing.assert_allclose(got.numpy(), in_float64(name, prompt, empty), rtol=2e-6)


@pytest.mark.parametrize("name", est.ESTIMATORS)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_with_a_large_offset_keeps_its_digits(name: str, kind: torch.dtype) -> None:
    """Latents of 1000 +- 1 in float16 are multiples of 0.5: the result of those very numbers must come out."""
    offset = 1000 if kind == torch.float16 else 100
    prompt, empty = (offset + latents(seed=3)).to(kind), (offset + latents(seed=4)).to(kind)
    got = est.estimator(name).compute(est.Measured(prompt, empty, CHANNEL))
    np.testing.assert_allclose(got.numpy(), in_float64(name, prompt, empty), rtol=1e-5)


def test_known_variance_by_hand() -> None:
    """Experts at -1, 0 and 1 in every dimension: unbiased variance 1, mean square 2/3."""
    prompt = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(3, 1, 1, 7)
    assert float(est.estimator("variance").compute(est.Measured(prompt))) == 1.0
    assert float(est.estimator("relative").compute(est.Measured(prompt))) == pytest.approx(1.5)


@pytest.mark.parametrize("experts", [2, 3, 5, 7])
@pytest.mark.parametrize("name", [name for name, one in est.ESTIMATORS.items() if one.minimum_experts > 1])
def test_identical_experts_give_exactly_zero(name: str, experts: int) -> None:
    """Not nearly: the mean of three equal floats need not be that float, so the plain formula would leave dust."""
    one = latents(experts=1, seed=4) * 0.1 + 1 / 3
    same, empty = one.expand(experts, -1, -1, -1), latents(experts=1, seed=5).expand(experts, -1, -1, -1)
    got = est.estimator(name).compute(est.Measured(same, empty, CHANNEL))
    assert bool((got == 0).all())


def test_unbiased_over_the_number_of_experts() -> None:
    """Sets of 2, 3 and 8 experts estimate one quantity, here 4."""
    for experts in (2, 3, 8):
        prompt = 2 * latents(experts=experts, samples=1, items=1, size=200_000, seed=experts)
        assert float(est.estimator("variance").compute(est.Measured(prompt))) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize(
    ("name", "power"),
    [
        ("relative", 0),
        ("centred_relative", 0),
        ("centred_layout", 0),
        ("cosine", 0),
        ("whitened", 0),
        ("variance", 2),
        ("centred", 2),
    ],
)
def test_which_estimators_are_free_of_scale(name: str, power: int) -> None:
    compute = est.estimator(name).compute
    prompt, empty = latents(seed=5), latents(seed=6)
    eight = compute(est.Measured(8 * prompt, 8 * empty, CHANNEL))
    torch.testing.assert_close(eight, 8**power * compute(est.Measured(prompt, empty, CHANNEL)))


def test_whitened_takes_out_the_scale_of_each_channel_and_variance_does_not() -> None:
    """A channel that is a hundred times as large in prompt and empty prompt counts as much as the others."""
    prompt, empty = latents(seed=7), latents(seed=8)
    loud = torch.where(CHANNEL == 2, 100.0, 1.0)
    plain, scaled = est.Measured(prompt, empty, CHANNEL), est.Measured(prompt * loud, empty * loud, CHANNEL)
    torch.testing.assert_close(est.estimator("whitened").compute(scaled), est.estimator("whitened").compute(plain))
    variance = est.estimator("variance").compute
    assert bool((variance(scaled) > 1000 * variance(plain)).all())


def test_whitened_leaves_out_a_dead_channel_and_refuses_a_dead_latent() -> None:
    prompt, empty = latents(seed=7), latents(seed=8)
    empty[..., CHANNEL == 1] = 0.3
    alive = CHANNEL != 1
    compute = est.estimator("whitened").compute
    kept = est.Measured(prompt[..., alive], empty[..., alive], torch.arange(4).repeat_interleave(100))
    torch.testing.assert_close(compute(est.Measured(prompt, empty, CHANNEL)), compute(kept))
    with pytest.raises(EMoEError, match="the same everywhere"):
        compute(est.Measured(prompt, torch.full_like(empty, 0.3), CHANNEL))


def test_whitened_of_one_item_does_not_depend_on_the_others() -> None:
    prompt, empty = latents(seed=7), latents(seed=8)
    both = est.estimator("whitened").compute(est.Measured(prompt, empty, CHANNEL))
    alone = est.estimator("whitened").compute(est.Measured(prompt[:, :, :1], empty[:, :, :1], CHANNEL))
    torch.testing.assert_close(both[:, :1], alone)


def test_an_even_shift_of_a_channel_changes_nothing_of_the_layout() -> None:
    """A number added to all places of a channel, another one for every expert, noise sample and item."""
    prompt, empty = latents(seed=11), latents(seed=12)
    shift = 20 + torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(13))
    plain, shifted = (est.Measured(given, empty, CHANNEL) for given in (prompt, prompt + shift[..., CHANNEL]))
    layout, whole = (est.estimator(name).compute for name in ("centred_layout", "centred_relative"))
    torch.testing.assert_close(layout(shifted), layout(plain), rtol=1e-5, atol=0)
    assert bool((whole(shifted) < 0.1 * whole(plain)).all())  # what the experts share hides what they do not


def test_a_channel_may_lie_anywhere_and_the_layout_keeps_apart_what_has_another_number() -> None:
    """Dimensions in another order give the same; two halves of a picture as channels of their own do not."""
    prompt, empty = latents(seed=14), latents(seed=15)
    compute = est.estimator("centred_layout").compute
    plain = compute(est.Measured(prompt, empty, CHANNEL))
    order = torch.randperm(500, generator=torch.Generator().manual_seed(16))
    mixed = compute(est.Measured(prompt[..., order], empty[..., order], CHANNEL[order]))
    torch.testing.assert_close(mixed, plain, rtol=1e-5, atol=0)
    prompt = prompt + torch.where(torch.arange(500) % 100 < 50, 3.0, 0.0)
    halves = compute(est.Measured(prompt, empty, torch.arange(10).repeat_interleave(50)))
    assert bool((halves > 2 * compute(est.Measured(prompt, empty, CHANNEL))).all())


@pytest.mark.parametrize("channel", [CHANNEL, None])
def test_no_layout_is_an_error_and_not_a_number(channel: torch.Tensor | None) -> None:
    """Flat channels, or no channels at all: nothing differs from place to place."""
    empty = torch.zeros(4, 3, 2, 500)
    prompt = latents(size=5, seed=17)[..., CHANNEL] if channel is not None else latents(seed=17)
    assert bool((est.estimator("centred_relative").compute(est.Measured(prompt, empty)) > 0).all())
    with pytest.raises(EMoEError, match="changes every channel evenly .* nothing differs from place to place"):
        est.estimator("centred_layout").compute(est.Measured(prompt, empty, channel))


def test_cosine_by_hand() -> None:
    """Three experts at 0, 90 and 180 degrees of each other, of any length: (1 + 1 + 2) / 3."""
    prompt = torch.tensor([[1.0, 0.0], [0.0, 7.0], [-3.0, 0.0]]).reshape(3, 1, 1, 2)
    assert float(est.estimator("cosine").compute(est.Measured(prompt))) == pytest.approx(4 / 3)
    with pytest.raises(EMoEError, match="zero everywhere"):
        est.estimator("cosine").compute(est.Measured(torch.zeros(2, 1, 1, 3)))


@pytest.mark.parametrize("experts", [2, 3, 8])
def test_pairwise_mi_goes_from_nothing_to_the_logarithm_of_the_number_of_experts(experts: int) -> None:
    """Near: twice the biased variance, as exp(-D) = 1 - D. Far: ln M, whatever the distance."""
    compute = est.estimator("pairwise_mi").compute
    prompt = latents(experts=experts)
    near = compute(est.Measured(1e-3 * prompt)).double().numpy()
    biased = (1e-3 * prompt).double().numpy().var(axis=0).mean(-1)
    np.testing.assert_allclose(near, 2 * biased, rtol=1e-4)
    np.testing.assert_allclose(compute(est.Measured(1e3 * prompt)).numpy(), np.log(experts), rtol=1e-6)


def test_seed_variance_is_the_estimator_with_noise_samples_for_experts() -> None:
    prompt, empty = latents(seed=9), latents(seed=10)
    m, e = (x.double().mean(0, keepdim=True).transpose(0, 1) for x in (prompt, empty))
    for name, one in est.ESTIMATORS.items():
        if one.minimum_experts > 1:
            got = one.compute(est.noise_as_experts(est.Measured(prompt, empty, CHANNEL)))
            np.testing.assert_allclose(got.numpy(), in_float64(name, m, e), rtol=5e-6)


def test_unrelated_features_give_the_constant_that_makes_them_useless() -> None:
    """Independent features: relative is 1 for every prompt whatever M, which is why lineage is checked."""
    for experts in (2, 4):
        got = est.estimator("relative").compute(est.Measured(latents(experts=experts, size=100_000)))
        assert bool((got - 1).abs().max() < 0.02)


@pytest.mark.parametrize("name", ["centred_relative", "guidance"])
def test_a_prompt_without_effect_is_an_error_and_not_a_number(name: str) -> None:
    prompt = latents(seed=6)
    with pytest.raises(EMoEError, match="same prediction as the empty prompt"):
        est.estimator(name).compute(est.Measured(prompt, prompt))


@pytest.mark.parametrize("name", [name for name, one in est.ESTIMATORS.items() if one.needs_empty])
def test_a_missing_empty_prompt_is_said(name: str) -> None:
    with pytest.raises(EMoEError, match="empty prompt"):
        est.estimator(name).compute(est.Measured(latents()))


def test_an_unknown_estimator_lists_the_known_ones() -> None:
    with pytest.raises(EMoEError, match="relative, centred_relative, variance, response, guidance"):
        est.estimator("median")


def test_law_of_total_variance() -> None:
    """With equal weights and biased variances total = mean within + between, exactly; ours are the unbiased parts."""
    prompt = latents(experts=4, samples=6, seed=7)
    parts = variance.decompose(prompt)
    m = prompt.double().numpy()
    assert parts.seed is not None
    np.testing.assert_allclose(parts.epistemic.numpy(), m.var(0, ddof=1).mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(parts.seed.numpy(), m.mean(0).var(0, ddof=1).mean(-1), rtol=1e-5)
    total = m.var(axis=(0, 1)).mean(-1)
    np.testing.assert_allclose(total, parts.epistemic.numpy() * 3 / 4 + parts.seed.numpy() * 5 / 6, rtol=1e-5)


def test_one_noise_sample_has_no_seed_variance_and_no_error() -> None:
    assert variance.decompose(latents(samples=1)).seed is None
    mean, error = variance.summarise(torch.tensor([[1.0, 2.0]]))
    assert mean.tolist() == [1, 2] and error is None


def test_standard_error_over_noise_samples() -> None:
    mean, error = variance.summarise(torch.tensor([[1.0], [2.0], [3.0], [6.0]]))
    assert float(mean) == 3
    assert error is not None and float(error) == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_pairwise_distances_find_the_copy_and_the_outlier() -> None:
    prompt = latents(experts=4, seed=8)
    prompt[1] = prompt[0]
    prompt[3] *= 5
    distance = variance.pairwise_distances(prompt)
    assert float(distance[0, 1]) == 0 and bool((distance.diagonal() == 0).all())
    assert float(distance[0, 3]) > float(distance[0, 2]) > 0
    torch.testing.assert_close(distance, distance.T)
