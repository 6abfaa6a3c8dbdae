"""The benchmark of staged scores: its arithmetic is the pack's, and it can tell a kept promise from a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing.modules import ROOT, benchmarks, script

from emoe_core.scoring.estimators import Measured, estimator
from emoe_core.scoring.stages import Stages


@pytest.fixture(scope="module")
def adaptive() -> Iterator[ModuleType]:
    with benchmarks("known_truth"):
        yield script(ROOT / "benchmarks" / "adaptive.py", "adaptive_benchmark")


def predictions(prompts: int, spread: float, seed: int = 0) -> tuple[Any, Any]:
    """Four experts that disagree by `spread`, on two noise samples: [prompts, 4, 2, C, h, w], and the empty prompt's."""
    generator = torch.Generator().manual_seed(seed)
    meant = torch.randn(prompts, 1, 2, 4, 4, 4, generator=generator)
    apart = spread * torch.randn(prompts, 4, 2, 4, 4, 4, generator=generator)
    return meant + apart, 0.1 * torch.randn(4, 2, 4, 4, 4, generator=torch.Generator().manual_seed(9))


def case(adaptive: ModuleType, **spreads: float) -> Any:
    known = np.concatenate([adaptive.products(*predictions(1, 0.2 + 0.002 * i, i)) for i in range(200)])
    unknown = {name: adaptive.products(*predictions(40, spread, 1000)) for name, spread in spreads.items()}
    return adaptive.Case("simulated", known, unknown)


@pytest.mark.parametrize("experts", [[0, 1, 2, 3], [2, 0], [1, 2, 3]])
def test_scores_are_those_of_the_preset_layout(adaptive: ModuleType, experts: list[int]) -> None:
    prompts, empty = predictions(3, 0.5)
    part = adaptive.products(prompts, empty)[:, :, experts][:, :, :, experts]
    channel = torch.arange(4).repeat_interleave(16)
    for number, score in enumerate(adaptive.layout(part)):
        flat = [x[experts].flatten(2).unsqueeze(2) for x in (prompts[number], empty)]
        wanted = estimator("centred_layout").compute(Measured(*flat, channel)).mean()
        assert score == pytest.approx(float(wanted), rel=1e-4)


def test_each_half_has_its_own_noise_and_its_share_of_the_calls(adaptive: ModuleType) -> None:
    part = adaptive.products(*predictions(5, 0.5))
    staged = adaptive.Staged.of(part)
    first = adaptive.layout(part[:, :1, :2, :2])
    assert np.allclose(staged.first, first)
    assert np.allclose(2 * staged.both - first, adaptive.layout(part[:, 1:, 2:, 2:]))
    assert staged.shares == (0.25, 0.5)
    middle = float(np.sort(first)[2])
    scores, share = staged.under(Stages(middle, 99.0))
    assert share == pytest.approx((3 * 0.25 + 2 * 0.5) / 5)
    assert np.allclose(scores, np.where(first <= middle, first, staged.both))
    assert adaptive.Staged.of(np.zeros((1, 2, 5, 5)) + np.eye(5)).shares == (0.2, 0.5)


def test_plain_cases_cost_little_and_lose_nothing(adaptive: ModuleType) -> None:
    found = adaptive.measure(case(adaptive, strange=3.0), 60, 2)
    assert 0.25 <= found["cost_unknown"] < 0.3 and 0.4 < found["cost_known"] < 0.5
    assert found["auroc_difference"] == pytest.approx(0, abs=1e-9) and adaptive.holds(found)
    assert found["blocked_unknown"] == {"full": 1.0, "staged": 1.0}
    assert set(found["plain"]) == {"one noise sample", "half the experts", "both halves"}
    assert "holds" in adaptive.line(found)
    ways = found["any_order"]["ways"]
    assert set(ways) == {"staged", *found["plain"]} and ways["half the experts"]["cost_share"] == 0.5


def of_orders(lost: float, promise: bool = True) -> dict[str, Any]:
    """Figures of a set whose ways all lose the same."""
    way = {"cost_share": 0.4, "auroc_difference": lost, "standard_deviation": 0.0, "within": 1.0}
    names = ("staged", "both halves", "one noise sample", "half the experts")
    return {"set": f"loses {lost}", "any_order": {"ways": dict.fromkeys(names, way)}, "promise": [{"holds": promise}]}


def test_the_limits_are_for_the_mean_and_the_promise_for_each(adaptive: ModuleType) -> None:
    assert adaptive.holds_together([of_orders(0.001), of_orders(0.008)])
    assert not adaptive.holds_together([of_orders(0.003), of_orders(0.008)])
    assert not adaptive.holds_together([of_orders(0.001), of_orders(0.001, promise=False)])
    sets = [of_orders(0.001), of_orders(0.008)]
    rows = adaptive.table({"sets": sets, "mean": adaptive.summary(sets)})
    assert len(rows) == 5 and "| 40 % | 0.0080 ± 0.0000 |" in rows[3] and "**0.0045**" in rows[4]


def test_two_experts_have_no_stages(adaptive: ModuleType) -> None:
    few = case(adaptive, strange=3.0).of([0, 1], [0, 1])
    found = adaptive.measure(few, 20, 2)
    assert "cost_share" not in found and set(found["plain"]) == {"one noise sample"}


def test_a_broken_promise_shows(adaptive: ModuleType) -> None:
    assert adaptive.promise(0.05, 100, 2000)["holds"] and not adaptive.promise(0.05, 140, 2000)["holds"]
    bad = {"promise": [{"holds": True}], "cost_share": 0.4, "auroc_difference": 0.006}
    assert not adaptive.holds(bad) and not adaptive.holds({**bad, "auroc_difference": 0.0, "cost_share": 0.6})
    assert not adaptive.holds({**bad, "auroc_difference": 0.0, "promise": [{"holds": True}, {"holds": False}]})


def test_auroc_counts_ties_half(adaptive: ModuleType) -> None:
    assert adaptive.auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(0.875)
