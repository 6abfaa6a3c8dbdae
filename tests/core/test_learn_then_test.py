"""bad_among_passed: exact p-values, the sequence and its ties by hand, the guarantee by counting, and MAPIE's thresholds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from emoe_core.errors import EMoEError
from emoe_core.gating.policies import (
    DELTA,
    TooFewPrompts,
    bad_among_passed,
    bad_pass_rate,
    block_share,
    false_block_rate,
)
from emoe_core.records.calibration import Part
from emoe_core.stats.learn_then_test import fewest, first_tested, highest_certified


def part(scores: list[float], bad: list[bool]) -> Part:
    return Part("c", tuple(scores), tuple(bad))


@pytest.mark.parametrize(
    ("alpha", "delta"), [(0.01, 0.1), (0.05, 0.1), (0.1, 0.05), (0.2, 0.2), (0.5, 0.5), (0.1, 0.81)]
)
def test_fewest_is_where_a_perfect_record_suffices(alpha: float, delta: float) -> None:
    m = fewest(alpha, delta)
    assert (1 - alpha) ** m <= delta * (1 + 1e-9) and (m == 1 or (1 - alpha) ** (m - 1) > delta)
    assert stats.binom.cdf(0, m, alpha) <= delta * (1 + 1e-9)


def test_by_hand() -> None:
    """alpha 0.1, delta 0.1: no bad one takes 22 prompts, one takes 38; the sequence of 88 starts at 22."""
    assert fewest(0.1, 0.1) == first_tested(88, 0.1, 0.1) == 22 and first_tested(100, 0.1, 0.1) == 25
    scores = [float(i) for i in range(88)]

    def found(*bad: int) -> float | None:
        return highest_certified(scores, [i in bad for i in range(88)], 0.1, 0.1)

    assert found() == 87.0  # all of them, and never beyond the highest
    assert found(30) == math.nextafter(30, 0)  # 31 prompts with a bad one are not enough
    assert found(38) == 87.0 and found(38, 39) == math.nextafter(39, 0)  # 39 with one are, 40 with two are not
    assert (
        found(21) is None and found(22) is None
    )  # the first test fails; only the first one passes, and nothing above it
    assert found(23) == math.nextafter(23, 0)


@pytest.mark.parametrize("seed", range(20))
def test_the_sequence_against_scipy(seed: int) -> None:
    """Every threshold below the answer has p <= delta, the next one has not."""
    rng = np.random.default_rng(seed)
    scores, alpha, delta = rng.permutation(300).astype(float), float(rng.choice([0.05, 0.1, 0.2])), 0.1
    bad = rng.random(300) < 0.5 * (scores / 300) ** 2
    ordered = bad[np.argsort(scores)]
    p = np.array([stats.binomtest(int(ordered[:m].sum()), m, alpha, "less").pvalue for m in range(1, 301)])
    start = first_tested(300, alpha, delta)
    run = next((m for m in range(start, 301) if p[m - 1] > delta), 301) - 1
    found = highest_certified(scores.tolist(), bad.tolist(), alpha, delta)
    if run <= start:
        assert found is None
    else:
        assert found == (299.0 if run == 300 else math.nextafter(float(run), -math.inf))
        assert (scores <= found).sum() == run


def test_equal_scores_stay_together_and_their_order_does_not_matter() -> None:
    rng = random.Random(3)
    pairs = [(float(rng.randrange(12)), rng.random() < 0.03) for _ in range(400)]
    answers = set()
    for _ in range(10):
        rng.shuffle(pairs)
        answers.add(highest_certified([s for s, _ in pairs], [b for _, b in pairs], 0.1, 0.1))
    assert len(answers) == 1
    assert highest_certified([1.0] * 100, [False] * 100, 0.1, 0.1) == 1.0
    assert highest_certified([1.0] * 100, [False] * 97 + [True] * 3, 0.1, 0.1) is None  # the bad ones are counted first
    tied = [float(i) for i in range(60)] + [60.0] * 40
    assert highest_certified(tied, [False] * 60 + [True] * 40, 0.1, 0.1) == math.nextafter(60.0, 0)


def risk_up(s: float) -> float:
    return s**3


def risk_wavy(s: float) -> float:
    """Not monotone: the risk among the passed crosses 0.12 at 0.38 up and down, and at 0.84 up again."""
    return 0.02 if s < 0.3 else 0.52 if s < 0.38 else 0.0 if s < 0.7 else 0.4


def risk_down(s: float) -> float:
    """The most certain prompts are the worst: a score that is wrong way round."""
    return 0.5 * math.exp(-8 * s)


@pytest.mark.parametrize("chance", [risk_up, risk_wavy, risk_down])
@pytest.mark.parametrize("levels", [0, 25])
def test_the_guarantee_by_counting(chance: Callable[[float], float], levels: int) -> None:
    """Of 500 calibrations at most delta, within the binomial's 99.9 % quantile, have a threshold with a risk above alpha.

    `levels` rounds the scores up, so that many are equal. The risk at each threshold is an integral over a fine grid.
    """
    alpha, delta, rounds, rng = 0.12, 0.1, 500, np.random.default_rng(4)
    grid = (np.arange(20_000) + 0.5) / 20_000
    mean_risk = np.cumsum([chance(s) for s in grid]) / np.arange(1, 20_001)
    wrong = found = 0
    for _ in range(rounds):
        raw = rng.random(160)
        bad = rng.random(160) < [chance(s) for s in raw]
        shown = np.ceil(raw * levels) / levels if levels else raw
        limit = highest_certified(shown.tolist(), bad.tolist(), alpha, delta)
        if limit is not None:
            found += 1
            passes = max(k / levels for k in range(levels + 1) if k / levels <= limit) if levels else limit
            wrong += mean_risk[min(int(passes * 20_000), 19_999)] > alpha + 1e-4
    assert wrong <= stats.binom.ppf(0.999, rounds, delta)
    assert found > 100 or chance is risk_down


@pytest.mark.parametrize(("alpha", "least"), [(0.01, 231), (0.05, 46), (0.1, 23), (0.2, 12)])
def test_the_least_that_is_asked_for_is_enough(alpha: float, least: int) -> None:
    """The guide's table: without a bad prompt so many suffice, and one fewer is refused as too few."""
    scores = [float(i) for i in range(least)]
    assert bad_among_passed(part(scores, [False] * least), alpha) == least - 1
    with pytest.raises(TooFewPrompts, match=f"needs at least {least}"):
        bad_among_passed(part(scores[1:], [False] * (least - 1)), alpha)


def test_bad_input_and_no_answer_in_one_sentence() -> None:
    many = [float(i) for i in range(100)]
    for wrong in (0.0, 1.0, math.nan, -1.0):
        with pytest.raises(EMoEError, match="alpha is"):
            bad_among_passed(part(many, [False] * 100), wrong)
        with pytest.raises(EMoEError, match="delta is"):
            bad_among_passed(part(many, [False] * 100), 0.1, wrong)
    with pytest.raises(EMoEError, match="no prompt marked as bad"):
        bad_among_passed(Part("c", tuple(many)), 0.1)
    with pytest.raises(
        TooFewPrompts, match="has 100 prompts, too few .* confidence 0.9 .* at most 0.01 .* at least 231"
    ):
        bad_among_passed(part(many, [False] * 100), 0.01)
    with pytest.raises(
        EMoEError, match=r"No threshold .* at most 0.1 with confidence 0.9 \(of its 25 most certain prompts 5"
    ):
        bad_among_passed(part(many, [i % 5 == 0 for i in range(100)]), 0.1)


# --- MAPIE, an independent implementation, as oracle --------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning:mapie")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_mapie_certifies_the_same_threshold(seed: int, alpha: float) -> None:
    """BinaryClassificationController for precision, its thresholds given as our sequence.

    MAPIE rounds the number of bad ones, m (1 - precision), up: 49 (1 - 48 / 49) is a little above 1 in floating point and
    counts as 2. A share that is smaller by a part in 10^12 lets it count right.
    """
    from mapie.risk_control import BinaryClassificationController, BinaryRisk

    class Precision(BinaryRisk):  # type: ignore[misc, unused-ignore]
        def get_value_and_effective_sample_size(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[float, int]:
            value, count = super().get_value_and_effective_sample_size(y_true, y_pred)
            return value * (1 - 1e-12), count

    rng = np.random.default_rng(seed)
    scores = rng.permutation(400) / 400.0
    bad = rng.random(400) < 0.8 * scores**3
    start = first_tested(400, alpha, DELTA)
    # Passing is "certainty >= parameter"; halfway between two scores no rounding can matter.
    certainty = np.stack([scores, 1 - scores], axis=1)
    parameters = np.array([1 - (m - 0.5) / 400 for m in range(start, 401)])
    oracle = BinaryClassificationController(
        predict_function=lambda x: np.asarray(x),
        risk=Precision(lambda true, passed: true == passed, lambda _, passed: passed == 1, higher_is_better=True),
        target_level=1 - alpha,
        best_predict_param_choice="recall",
        confidence_level=1 - DELTA,
        list_predict_params=parameters,
        fwer_method="fixed_sequence",
    ).calibrate(certainty, (~bad).astype(int))
    exact = stats.binom.cdf(np.cumsum(bad[np.argsort(scores)])[start - 1 :], np.arange(start, 401), alpha)
    np.testing.assert_allclose(oracle.p_values[:, 0], exact, rtol=1e-6)
    passed = [int((certainty[:, 1] >= v).sum()) for v in oracle.valid_predict_params]
    limit = highest_certified(scores.tolist(), bad.tolist(), alpha, DELTA)
    if max(passed, default=0) <= start:
        assert limit is None
    else:
        assert limit is not None and int((scores <= limit).sum()) == max(passed)


@pytest.mark.parametrize("count", [21, 99, 250])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("ties", [False, True])
def test_mapie_has_the_same_conformal_quantile(count: int, alpha: float, ties: bool) -> None:
    """A regressor that always says 0 has residuals equal to the scores; its interval ends at the conformal quantile."""
    from mapie.regression import SplitConformalRegressor
    from sklearn.dummy import DummyRegressor

    rng = np.random.default_rng(count)
    scores = rng.integers(1, 12, count).astype(float) if ties else rng.random(count)
    x = np.zeros((count, 1))
    always_zero = DummyRegressor(strategy="constant", constant=0.0).fit(x, scores)
    oracle = SplitConformalRegressor(always_zero, confidence_level=1 - alpha, prefit=True).conformalize(x, scores)
    _, interval = oracle.predict_interval(x[:1])
    ours = Part("c", tuple(scores.tolist()))
    assert false_block_rate(ours, alpha) == block_share(ours, alpha) == pytest.approx(interval[0, 1, 0], abs=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_conformal_risk_control_against_its_definition(alpha: float) -> None:
    """arXiv 2208.02814, equation 4, by trying every threshold: the largest with (n R + 1) / (n + 1) <= alpha."""
    rng = np.random.default_rng(8)
    scores = rng.random(150)
    bad = rng.random(150) < scores
    limit = bad_pass_rate(Part("c", tuple(scores.tolist()), tuple(bad.tolist())), alpha)

    def bound(t: float) -> float:
        return float((bad & (scores <= t)).sum() + 1) / 151

    assert bound(limit) <= alpha and all(bound(s) > alpha for s in scores if s > limit)
