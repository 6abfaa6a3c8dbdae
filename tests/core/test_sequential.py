"""AUROC that may be looked at after every label: its variance, its interval, its edges."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from emoe_core.stats.compare import between
from emoe_core.stats.evaluation import auroc
from emoe_core.stats.sequential import LEAST, boundary, difference, missing, pictures_for, place, variance_of


def drawn(count: int, shift: float, seed: int = 0, share: float = 0.3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    bad = rng.random(count) < share
    return rng.normal(size=count) + shift * bad, bad, np.arange(count)


def delong(scores: Any, bad: Any) -> float:
    """DeLong's variance by all pairs: S10 / m + S01 / n."""
    x, y = scores[bad], scores[~bad]
    psi = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
    return float(psi.mean(axis=1).var(ddof=1) / len(x) + psi.mean(axis=0).var(ddof=1) / len(y))


@pytest.mark.parametrize("levels", [0, 4])
def test_value_and_variance_are_those_of_all_pairs(levels: int) -> None:
    scores, bad, prompts = drawn(200, 0.9)
    scores = np.round(scores * levels) / levels if levels else scores
    found = place(scores, bad, prompts)
    assert found.value == pytest.approx(auroc(scores[~bad], scores[bad]))
    assert variance_of(found.parts) == pytest.approx(delong(scores, bad), rel=0.02)
    assert found.parts.sum() == pytest.approx(0, abs=1e-12)


def test_pictures_of_a_prompt_are_one_cluster() -> None:
    """The variance over prompts is the bootstrap's over prompts, about twice that of as many independent pictures."""
    rng = np.random.default_rng(1)
    scores, bad, _ = drawn(150, 0.8, 1)
    scores, bad, prompts = np.repeat(scores, 2), np.repeat(bad, 2), np.repeat(np.arange(150), 2)
    found = variance_of(place(scores, bad, prompts).parts)
    resampled = []
    for _ in range(1500):
        chosen = rng.integers(0, 150, 150)
        s, b = scores[::2][chosen], bad[::2][chosen]
        resampled.append(auroc(s[~b], s[b]))
    assert found == pytest.approx(np.var(resampled), rel=0.12)
    assert found == pytest.approx(2 * variance_of(place(scores, bad, np.arange(300)).parts), rel=0.02)


def test_a_second_picture_that_says_the_same_changes_little() -> None:
    scores, bad, prompts = drawn(120, 1.0)
    once = place(scores, bad, prompts)
    twice = place(np.repeat(scores, 2), np.repeat(bad, 2), np.repeat(prompts, 2))
    assert twice.value == pytest.approx(once.value)
    assert twice.interval() == pytest.approx(once.interval(), abs=0.02)


def test_the_interval_is_wider_than_that_for_one_look_and_narrows() -> None:
    before = 1.0
    for count in (60, 120, 240, 960):
        scores, bad, prompts = drawn(count, 1.2)
        found = place(scores, bad, prompts)
        low, high = found.interval()
        plain = between(scores[bad], scores[~bad])
        assert low < (plain.delta_low + 1) / 2 < found.value < (plain.delta_high + 1) / 2 < high
        assert high - low < before
        before = high - low


def test_the_ends_are_where_values_begin_to_be_left_out() -> None:
    scores, bad, prompts = drawn(150, 1.0)
    found = place(scores, bad, prompts)
    low, high = found.interval()
    assert found.excludes(low - 1e-4) and not found.excludes(low + 1e-4)
    assert found.excludes(high + 1e-4) and not found.excludes(high - 1e-4)
    turned = place(-scores, bad, prompts).interval()
    assert (1 - turned[1], 1 - turned[0]) == pytest.approx((low, high), abs=1e-6)


def test_a_higher_auroc_has_a_higher_interval() -> None:
    rng = np.random.default_rng(0)
    bad, noise = rng.random(200) < 0.3, rng.normal(size=200)
    ends = [place(noise + shift * bad, bad, np.arange(200)).interval() for shift in np.linspace(-2, 2, 9)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(ends))


def test_only_order_counts() -> None:
    scores, bad, prompts = drawn(100, 0.7)
    assert place(np.exp(3 * scores), bad, prompts).interval() == place(scores, bad, prompts).interval()


@pytest.mark.parametrize(
    ("scores", "bad"),
    [([], []), ([1.0], [True]), ([1.0, 2.0, 3.0], [False, False, False]), ([1.0] * 20, [True] * 20)],
)
def test_without_both_kinds_nothing_is_said(scores: list[float], bad: list[bool]) -> None:
    found = place(scores, bad, list(range(len(scores))))
    assert found.interval() == (0.0, 1.0) and not found.excludes(0.55) and found.value == 0.5
    assert pictures_for(found, 0.55) is None and missing(found) == 0
    assert (difference(found, found).low, difference(found, found).high) == (-1.0, 1.0)


def test_nothing_is_said_before_enough_prompts_of_each_kind() -> None:
    good = LEAST * 4
    few, enough = ([*range(good), *range(100, 100 + count)] for count in (LEAST - 1, LEAST))
    found = place(few, [one >= 100 for one in few], few)
    assert found.interval() == (0.0, 1.0) and missing(found) > 0
    assert place(enough, [one >= 100 for one in enough], enough).excludes(0.55)
    # many pictures of few prompts are not enough either
    repeated = [*range(good), *[100.0] * 50]
    assert not place(repeated, [one >= 100 for one in repeated], repeated).enough


def test_perfect_separation_and_ties_leave_an_interval() -> None:
    scores = np.arange(60.0)
    apart = place(scores, scores >= 40, scores)
    low, high = apart.interval()
    assert (apart.value, high) == (1.0, 1.0) and 0.7 < low < 0.95
    tied = place(np.ones(60), scores >= 40, scores)
    low, high = tied.interval()
    assert tied.value == 0.5 and low < 0.4 and high > 0.6
    turned = place(-scores, scores >= 40, scores)
    assert turned.interval()[0] == 0.0 and turned.excludes(0.55)


def test_a_difference_sees_what_two_scores_share() -> None:
    scores, bad, prompts = drawn(300, 1.2)
    rng = np.random.default_rng(7)
    one = place(scores, bad, prompts)
    same, near, worse = (
        difference(one, place(other, bad, prompts))
        for other in (scores, scores + 0.1 * rng.normal(size=300), rng.normal(size=300))
    )
    assert same.value == 0 and same.low < 0 < same.high < 0.1
    assert near.low < 0 < near.high < 0.12
    assert worse.low > 0
    back = difference(place(scores + 0.1 * rng.normal(size=300), bad, prompts), one)
    assert back.high > 0 > back.low


def test_the_estimate_of_more_pictures_is_about_right() -> None:
    scores, bad, prompts = drawn(60, 0.5, 3)
    found = place(scores, bad, prompts)
    more = pictures_for(found, 0.55)
    assert more is not None and not found.excludes(0.55)
    copies = math.ceil(1.3 * (60 + more) / 60)  # the variance is only estimated
    grown = place(np.tile(scores, copies), np.tile(bad, copies), np.arange(60 * copies))
    assert grown.excludes(0.55)
    assert not found.excludes(0.55, (60 + more - 1) / 60) and found.excludes(0.55, (60 + more) / 60)
    assert pictures_for(found, found.value) is None


def test_the_boundary_falls_and_then_grows_slowly() -> None:
    values = [boundary(time) for time in (1, 5, 12, 50, 1e4, 1e8)]
    assert min(values) == pytest.approx(boundary(12), abs=0.25)
    assert values[0] > values[1] and values[-1] > values[-2] > values[-3] > 1.96
