"""The benchmark of the Gate's promises can tell a kept one from a broken one."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from emoe_testing.modules import script

from emoe_core import demo, errors
from emoe_core.gating import policies
from emoe_core.records import calibration

ROOT = Path(__file__).resolve().parents[2]
PACK: Any = SimpleNamespace(
    emoe_core=SimpleNamespace(
        demo=demo,
        errors=errors,
        gating=SimpleNamespace(policies=policies),
        records=SimpleNamespace(calibration=calibration),
    )
)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return script(ROOT / "benchmarks" / "calibration.py", "calibration_benchmark")


@pytest.mark.parametrize("levels", [0, 20])
@pytest.mark.parametrize("policy", ["false_block_rate", "block_share", "bad_pass_rate", "bad_among_passed"])
def test_every_promise_holds_on_simulated_scores(
    benchmark: ModuleType, policy: str, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(benchmark.SIZES, policy, 200)
    row = benchmark.count_wrong(PACK, policy, 0.1, *benchmark.simulated(levels), 300)
    assert row["holds"] and row["no_threshold"] < 0.5 and row["interval"][0] < row["promised"] < row["interval"][1]


@pytest.mark.parametrize("policy", ["false_block_rate", "block_share", "bad_pass_rate", "bad_among_passed"])
def test_a_policy_that_takes_three_times_its_rate_is_found_out(
    benchmark: ModuleType, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = policies.POLICIES[policy].threshold
    assert honest is not None

    def greedy(part: calibration.Part, alpha: float, delta: float) -> float:
        return honest(part, 3 * alpha, delta)

    monkeypatch.setitem(policies.POLICIES, policy, policies.Policy(policy, "", greedy))
    monkeypatch.setitem(benchmark.SIZES, policy, 200)
    row = benchmark.count_wrong(PACK, policy, 0.06, *benchmark.simulated(0), 400)
    assert not row["holds"]


@pytest.mark.parametrize("levels", [0, 20])
def test_the_stated_risk_is_the_counted_one(benchmark: ModuleType, levels: int) -> None:
    draw, risk = benchmark.simulated(levels)
    scores, bad = draw(np.random.default_rng(0), 200_000)
    for limit in (0.5, 0.72, math.nextafter(0.75, 0), 1.0):
        assert risk(limit) == pytest.approx(bad[scores <= limit].mean(), abs=0.004)


def test_groups_and_the_shipped_calibration(benchmark: ModuleType) -> None:
    """Two groups of very different scores; and scores that block nothing, or everything, of the shipped prompts."""
    rng = np.random.default_rng(3)
    rows = benchmark.groups(PACK, {"low": rng.random(500), "high": 3 + rng.random(500)}, 300)
    assert [row["language"] for row in rows] == ["low", "high"] and all(row["holds"] for row in rows)
    assert rows[0]["pooled"] == 0 and rows[1]["pooled"] > 0.12
    texts = [text for group in demo.prompts().values() for text in group]
    nothing = benchmark.shipped(PACK, "fast", dict.fromkeys(texts, 0.0))
    everything = benchmark.shipped(PACK, "fast", dict.fromkeys(texts, 9.0))
    assert all(row["holds"] and row["nonsense"] == 0 for row in nothing)
    assert not any(row["holds"] for row in everything) and everything[0]["unseen_languages"] == 1
