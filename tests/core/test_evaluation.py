"""Rank statistics against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from emoe_core.errors import EMoEError
from emoe_core.stats.evaluation import auroc, ranks, spearman


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
