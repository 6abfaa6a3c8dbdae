"""The audit's statistics against scipy, statsmodels and brute force, and their promises on random regroupings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from emoe_core.audit import statistics as stats
from emoe_core.stats import compare
from emoe_core.stats.compare import ridits, signed_rank_p, within_ranks


def sample(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(shift, 0.7, n)


@pytest.mark.parametrize(("m", "n"), [(7, 9), (40, 25), (200, 300)])
def test_two_groups_agree_with_scipy_and_brute_force(m: int, n: int) -> None:
    x, y = sample(1, m, 0.4), sample(2, n)
    found = compare.between(x, y)
    expected = scipy_stats.mannwhitneyu(x, y)
    differences = np.subtract.outer(x, y)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.delta == pytest.approx(np.sign(differences).mean())
    assert found.shift == pytest.approx(np.median(differences))
    assert found.delta_low < found.delta < found.delta_high and found.shift_low < found.shift < found.shift_high


def test_many_differences_are_counted_as_few_are_sorted() -> None:
    x, y = sample(8, 120, 0.2).round(2), sample(9, 150).round(2)
    few = compare.between(x, y), compare.paired(x - y[:120])
    many = compare.between(x, y, few=0), compare.paired(x - y[:120], few=0)
    for a, b in zip(few, many, strict=True):
        assert [a.shift, a.shift_low, a.shift_high] == pytest.approx([b.shift, b.shift_low, b.shift_high], abs=1e-8)


def test_ties_count_half() -> None:
    found = compare.between(np.array([1.0, 2, 2, 3, 3]), np.array([1.0, 2, 2, 2, 3]))
    assert found.delta == pytest.approx(np.sign(np.subtract.outer([1, 2, 2, 3, 3], [1, 2, 2, 2, 3])).mean())


@pytest.mark.parametrize("n", [6, 15, 120])
def test_pairs_agree_with_scipy_and_brute_force(n: int) -> None:
    d = sample(3, n) - sample(4, n, 0.3)
    found = compare.paired(d)
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(d, 2)]
    assert found.p == pytest.approx(scipy_stats.wilcoxon(d).pvalue)
    assert found.shift == pytest.approx(np.median(walsh))
    assert found.delta == pytest.approx((d > 0).mean() - (d < 0).mean())


def test_the_shift_interval_is_the_tests_own_inversion() -> None:
    """A shift inside the interval is not refused by the test (without continuity correction), one outside is."""
    x, y = sample(5, 60, 0.5), sample(6, 50)
    found = compare.between(x, y)
    for t, inside in (
        (found.shift_low + 1e-6, True),
        (found.shift_low - 0.03, False),
        (found.shift_high - 1e-6, True),
        (found.shift_high + 0.03, False),
    ):
        p = scipy_stats.mannwhitneyu(x - t, y, method="asymptotic", use_continuity=False).pvalue
        assert bool(p > 0.049) is inside


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """x and y are normals one apart: the shift is 1 and Cliff's delta 2 Phi(1 / sqrt 2) - 1."""
    rng, truth, rounds = np.random.default_rng(0), 2 * scipy_stats.norm.cdf(2**-0.5) - 1, 200
    hits = np.zeros(3)
    for _ in range(rounds):
        x, y = rng.normal(1, 1, 25), rng.normal(0, 1, 35)
        found, pairs = compare.between(x, y), compare.paired(x - y[:25])
        hits += [
            found.shift_low <= 1 <= found.shift_high,
            found.delta_low <= truth <= found.delta_high,
            pairs.shift_low <= 1 <= pairs.shift_high,
        ]
    assert (hits / rounds > 0.95 - 3 * (0.05 * 0.95 / rounds) ** 0.5).all()


def test_equal_values_and_separate_groups_are_no_trouble() -> None:
    same = compare.paired(np.zeros(8))
    assert same.p == 1 and same.delta == 0 and same.shift == pytest.approx(0)
    apart = compare.between(np.arange(10.0) + 100, np.arange(10.0))
    assert apart.delta == 1 and apart.delta_high == 1 and 0.4 < apart.delta_low < 1
    flat = compare.between(np.ones(6), np.ones(6))
    assert flat.p == 1 and flat.delta == 0 and flat.shift == pytest.approx(0)


def test_holm_and_the_exact_share_agree_with_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04]
    assert compare.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert compare.holm([]) == []
    for hits, n in ((0, 12), (3, 40), (40, 40)):
        assert stats.exact_share(hits, n)[1:] == pytest.approx(proportion_confint(hits, n, method="beta"))


def test_ranks_within_a_prompt_are_symmetric_whatever_the_scores_are() -> None:
    table = np.array([[1.0, 2, 3], [5, np.nan, 4], [np.nan, 1, 2], [7, np.nan, np.nan], [1, 1, 1]])
    assert within_ranks(table, 0)[[0, 1, 4]].tolist() == [-1, 1, 0]
    assert np.isnan(within_ranks(table, 0)[[2, 3]]).all()


def test_without_a_control_the_adjusted_delta_would_be_cliffs_and_with_one_it_is_statsmodels() -> None:
    rng = np.random.default_rng(7)
    tokens = np.r_[rng.normal(12, 3, 80), rng.normal(9, 3, 120)]
    scores = tokens + rng.normal(0, 1, 200)
    found = stats.adjusted_delta(scores[:80], scores[80:], {"tokens": (tokens[:80], tokens[80:])})
    design = np.column_stack([np.r_[np.ones(80), np.zeros(120)], np.ones(200), ridits(tokens)])
    fit = sm.OLS(ridits(scores), design).fit(cov_type="HC3")
    assert found.delta == pytest.approx(2 * fit.params[0])
    assert [found.low, found.high] == pytest.approx(list(2 * fit.conf_int()[0]))
    noise = rng.normal(0, 1, 200)
    free = stats.adjusted_delta(scores[:80], scores[80:], {"noise": (noise[:80], noise[80:])})
    plain = compare.between(scores[:80], scores[80:]).delta
    assert free.delta == pytest.approx(plain, abs=0.03) and plain > 0.4 and abs(found.delta or 9) < 0.15


def test_a_property_that_is_the_group_itself_is_said() -> None:
    scores, same = sample(1, 60), np.r_[np.ones(30), np.zeros(30)]
    found = stats.adjusted_delta(scores[:30], scores[30:], {"x": (same[:30], same[30:])})
    assert (
        found.delta is None and found.marks == ("x",) and "not held equal, as the group is told by it: x" in found.note
    )
    flags = [np.r_[np.arange(30) % 4 == i, np.zeros(30)] for i in range(4)]  # together they tell the group
    pairs = {f"c{i}": (flag[:30], flag[30:]) for i, flag in enumerate(flags)}
    assert stats.adjusted_delta(scores[:30], scores[30:], pairs).note.startswith("the text's properties and the group")
    constant = stats.adjusted_delta(scores[:30], scores[30:], {"x": (np.ones(30), np.ones(30))})
    assert constant.delta is None and constant.controls == ()


def test_a_histogram_counts_everything() -> None:
    scores = np.r_[sample(1, 500), 1e6]
    bins = stats.edges(scores)
    found = stats.describe(scores, bins)
    assert sum(found.histogram) == 501 and found.maximum == 1e6 and max(found.histogram) < 250
    assert stats.edges(np.ones(3))[0] < 1 < stats.edges(np.ones(3))[-1]


@pytest.mark.parametrize("seed", range(4))
def test_signed_ranks_are_exact_with_and_without_ties(seed: int) -> None:
    """Against scipy: its exact distribution without ties, all 2^n signs with ties, its normal limit for many."""
    draw = np.random.default_rng(seed)
    smooth = draw.normal(0.4, 1, 20)
    assert signed_rank_p(smooth) == pytest.approx(scipy_stats.wilcoxon(smooth, method="exact").pvalue, abs=1e-12)
    tied = draw.integers(-2, 4, 9).astype(float)
    kept = tied[tied != 0]
    ranks, signs = scipy_stats.rankdata(np.abs(kept)), np.array(list(itertools.product((0, 1), repeat=len(kept))))
    sums, found = signs @ ranks, ranks[kept > 0].sum()
    both = 2 * min((sums <= found + 1e-9).mean(), (sums >= found - 1e-9).mean())
    assert signed_rank_p(tied) == pytest.approx(min(1.0, both), abs=1e-12)
    many = draw.integers(-3, 5, 200).astype(float)
    assert signed_rank_p(many) == pytest.approx(scipy_stats.wilcoxon(many, method="asymptotic").pvalue, rel=1e-9)
    assert signed_rank_p(np.zeros(5)) == 1.0
