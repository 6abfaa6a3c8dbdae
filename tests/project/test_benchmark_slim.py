"""The benchmark of slim experts counts bytes and promises as it says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from emoe_testing.modules import ROOT, benchmarks, script


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with benchmarks("common", "checkpoints"):
        yield script(ROOT / "benchmarks" / "slim.py", "slim_benchmark")


def experts(count: int = 3) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"mid.weight": (64, 96), "conv.weight": (32, 16, 3, 3), "norm.weight": (64,), "embedding": (50, 8)}
    first = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    moved = [
        {n: w + 0.1 * torch.randn(w.shape, generator=generator) for n, w in first.items()} for _ in range(count - 1)
    ]
    return [first, *moved]


@pytest.mark.parametrize("quick", [True, False])
def test_every_form_is_smaller_and_differences_are_nearer_than_none(benchmark: ModuleType, quick: bool) -> None:
    whole = experts()
    for name, make in benchmark.arms(quick).items():
        left, size, kept = make(whole)
        true = benchmark.nearer(whole) if name.startswith("near") else whole
        apart = sum(float((true[1][n] - true[0][n]).square().sum()) for n in true[0])
        lost = sum(float((true[1][n] - left[1][n]).square().sum()) for n in true[0])
        if kept is not None:  # a copy's rounding is that of the weight, and may be larger than a small difference
            assert lost < apart and 0 < kept <= 1, name
        all_of_them = sum(2 * w.numel() for one in whole for w in one.values())
        assert size == all_of_them if name.endswith("whole") else size < 1.02 * all_of_them, name


def test_sdxl_in_the_form_that_load_experts_uses(benchmark: ModuleType) -> None:
    sizes = benchmark.sdxl_sizes()
    assert sizes["1 bits"] < sizes["2 bits"] < 1.4 < 1.6 < sizes["4 bits"] < sizes["fp8"] < sizes["whole"]


def test_a_promise_is_kept_by_its_own_calibration_and_broken_by_a_foreign_one(benchmark: ModuleType) -> None:
    rng = random.Random(1)
    scores = {group: [rng.gauss(0, 1) for _ in range(100)] for group in benchmark.GOOD}
    scores["other"] = [rng.gauss(3, 1) for _ in range(100)]
    own = benchmark.promise(scores, scores, ["other"], "", 400)
    assert own["known_blocked"] <= 0.052 and own["unknown_blocked"] > 0.8
    lower = {group: [one - 1 for one in values] for group, values in scores.items()}
    assert benchmark.promise(scores, lower, ["other"], "", 400)["known_blocked"] > 0.15
