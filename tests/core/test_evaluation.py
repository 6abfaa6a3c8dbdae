"""Rank statistics against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from emoe_core.errors import EMoEError
from emoe_core.stats.evaluation import auroc, bootstrap, ranks, spearman


@pytest.mark.parametrize("seed", range(5))
def test_ranks_auroc_and_spearman_equal_scipy_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 40).astype(float)
    np.testing.assert_allclose(ranks(x), stats.rankdata(x))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert auroc(x[:15], y) == pytest.approx(stats.mannwhitneyu(y, x[:15]).statistic / (15 * 40))


def test_by_hand() -> None:
    assert auroc([1, 2], [3, 4]) == 1 and auroc([3, 4], [1, 2]) == 0 and auroc([1, 1], [1]) == 0.5
    assert spearman([1, 2, 3], [9, 4, 1]) == -1 and np.isnan(spearman([1, 1], [1, 2]))
    with pytest.raises(EMoEError, match="empty"):
        auroc([], [1])


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Means of 30 normal numbers: the 95 % interval covers 0 in 85 to 99 of 100 tries."""
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        data = rng.normal(size=30)
        low, high = bootstrap(lambda drawn, data=data: float(data[drawn[0]].mean()), [30], rounds=200, seed=seed)
        hits += low <= 0 <= high
    assert 85 <= hits <= 99
