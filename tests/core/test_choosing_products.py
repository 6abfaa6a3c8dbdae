"""Products of the experts' features give what the estimators give, for every subset and close to copies."""

import itertools

import numpy as np
import pytest
import torch

from emoe_core.choosing.products import FEATURES, Products, joined, measured_products
from emoe_core.errors import EMoEError
from emoe_core.scoring.estimators import ESTIMATORS, Measured
from emoe_core.stats.evaluation import Floats

EXPERTS, SAMPLES, PLACES = 5, 2, 20_000


def measured(seed: int = 0, twin: float = 0.0) -> Measured:
    """Latents of four channels with a large common offset; with `twin`, the third expert is the second but for so much."""
    made = torch.Generator().manual_seed(seed)
    prompt = torch.randn(EXPERTS, SAMPLES, 1, PLACES, generator=made)
    empty = torch.randn(1, SAMPLES, 1, PLACES, generator=made) + 0.1 * torch.randn(prompt.shape, generator=made) + 3
    prompt = empty + 0.2 * prompt
    if twin:
        prompt[2] = prompt[1] + twin * 0.2 * torch.randn(prompt[1].shape, generator=made)
        empty[2] = empty[1]
    return Measured(prompt, empty, torch.arange(4).repeat_interleave(PLACES // 4))


def of(one: Measured) -> dict[str, Products]:
    return measured_products(one, sorted(set(FEATURES.values())))


def by_estimator(one: Measured, name: str, experts: tuple[int, ...], samples: int) -> float:
    assert one.empty is not None
    chosen = list(experts)
    part = Measured(one.prompt[chosen, :samples], one.empty[chosen, :samples], one.channel)
    return float(ESTIMATORS[name].compute(part).double().mean())


@pytest.mark.parametrize("name", FEATURES)
def test_every_subset_scores_as_the_estimator_does(name: str) -> None:
    one = measured()
    found = of(one)[FEATURES[name]]
    sets = [*itertools.combinations(range(EXPERTS), 2), (4, 1, 2), (3, 0, 1, 2), tuple(range(EXPERTS))]
    for experts in sets:
        for samples in (1, SAMPLES):
            (value,) = found.of(experts, samples).scores(name)
            assert value == pytest.approx(by_estimator(one, name, experts, samples), rel=1e-6)


@pytest.mark.parametrize("twin", [1e-2, 1e-4])
@pytest.mark.parametrize("name", ["centred_layout", "centred_relative", "relative", "variance"])
def test_a_near_copy_keeps_its_digits(name: str, twin: float) -> None:
    one = measured(1, twin)
    found = of(one)[FEATURES[name]]
    for pair in ((1, 2), (2, 1)):
        (value,) = found.of(pair).scores(name)
        assert value == pytest.approx(by_estimator(one, name, pair, SAMPLES), rel=1e-6)
        assert 0 < value < 1e-3


def test_a_copy_scores_exactly_zero() -> None:
    one = measured(2)
    assert one.empty is not None
    one.prompt[3], one.empty[3] = one.prompt[0], one.empty[0]
    one.prompt[4], one.empty[4] = one.prompt[1], one.empty[1]
    for name in ("centred_layout", "centred_relative", "relative"):
        for pair in ((0, 3), (1, 4)):
            assert of(one)[FEATURES[name]].of(pair).scores(name) == [0.0]


def test_the_products_are_those_of_the_features() -> None:
    one = measured(3)
    rows: Floats = one.prompt[:, 0, 0].double().numpy()
    found = of(one)["prompt"]
    np.testing.assert_allclose(found.values[0, 0], rows @ rows.T / PLACES, rtol=1e-9)
    np.testing.assert_allclose(found.numerator()[0, 0], rows.var(axis=0, ddof=1).mean(), rtol=1e-9)
    np.testing.assert_allclose(found.denominator()[0, 0], np.square(rows).mean(), rtol=1e-9)


def test_prompts_are_joined_and_taken_apart() -> None:
    parts = [of(measured(seed))["layout"] for seed in range(3)]
    both = joined(parts)
    assert (both.prompts, both.samples, both.experts) == (3, SAMPLES, EXPERTS)
    assert both.at([2, 0]).scores("centred_layout").tolist() == [
        *parts[2].scores("centred_layout"),
        *parts[0].scores("centred_layout"),
    ]


def test_what_does_not_follow_is_refused() -> None:
    found = of(measured())["prompt"]
    with pytest.raises(EMoEError, match="does not follow"):
        found.scores("whitened")
    with pytest.raises(EMoEError, match="at least 2"):
        found.of([0]).scores("relative")
    with pytest.raises(EMoEError, match="empty prompt"):
        measured_products(Measured(torch.ones(2, 1, 1, 4)), ["shift"])
