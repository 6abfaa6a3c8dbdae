"""Calibration and gate: the guarantee, its edges, and files that must be refused."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace

import pytest
from emoe_testing.verdicts import SETTINGS

from emoe_core.errors import EMoEError, SettingsMismatch
from emoe_core.gating.gate import decide
from emoe_core.gating.policies import bad_pass_rate, block_share, false_block_rate
from emoe_core.records.calibration import Calibration
from emoe_core.records.report import ItemScore, Report
from emoe_core.records.settings import Settings


def calibration(scores: list[float], settings: Settings = SETTINGS) -> Calibration:
    return Calibration("test", settings, tuple(scores))


def report(*scores: float, calibrations: tuple[Calibration, ...] = (), settings: Settings = SETTINGS) -> Report:
    items = tuple(ItemScore(s, None, s, None, 1.0, None) for s in scores)
    return Report(
        settings, items, ("x", "y"), ("", ""), ((0.0, 1.0), (1.0, 0.0)), prompt="cat", calibrations=calibrations
    )


def test_p_value_and_percentile_by_hand() -> None:
    c = calibration([1, 2, 3, 4])
    assert [c.p_value(s) for s in (0, 1, 2.5, 4, 5)] == [1, 1, 3 / 5, 2 / 5, 1 / 5]
    assert [c.percentile(s) for s in (0, 2, 2.5, 5)] == [0, 37.5, 50, 100]


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("n", [19, 20, 99, 137])
@pytest.mark.parametrize("ties", [False, True])
def test_threshold_blocks_exactly_where_p_is_at_most_alpha(alpha: float, n: int, ties: bool) -> None:
    rng = random.Random(n)
    draw = (lambda: float(rng.randrange(10))) if ties else rng.random
    c = calibration([draw() for _ in range(n)])
    limit = false_block_rate(c, alpha)
    for _ in range(200):
        s = draw()
        assert (s > limit) == (c.p_value(s) <= alpha + 1e-12)
    assert not any(s > limit for s in sorted(c.scores)[: n - math.floor(alpha * (n + 1)) + 1])


def test_the_alpha_that_is_advised_is_enough() -> None:
    """What is told is rounded, to the decimals that the Gate takes; rounded down it would be refused once more."""
    for count in range(1, 1200):
        made = calibration([float(i) for i in range(count)])
        with pytest.raises(EMoEError) as told:
            false_block_rate(made, 1e-6)
        advised = re.search(r"choose alpha (\S+) or more", str(told.value))
        smallest = re.search(r"smallest alpha (\S+)\.$", made.line())
        assert advised and smallest and advised[1] == smallest[1] and len(advised[1]) <= len("0.0001")
        alpha = float(advised[1])
        assert 1 / (count + 1) <= alpha + 1e-12 and alpha < 1 / (count + 1) + 1e-4
        assert false_block_rate(made, alpha) == count - 1


@pytest.mark.parametrize("count", [1, 3, 19, 200])
def test_an_alpha_next_to_one_still_lets_the_lowest_pass(count: int) -> None:
    made = replace(calibration([float(i) for i in range(count)]), bad=(False,) * count)
    for alpha in (0.999, 0.99999999999, math.nextafter(1.0, 0.0)):
        for policy, highest in ((false_block_rate, None), (block_share, None), (bad_pass_rate, count - 1)):
            limit = policy(made, alpha)
            assert limit == highest if highest is not None else (limit == 0) == (count / (count + 1) <= alpha)
        blocked = [score for score in (-1.0, 0.0, 0.5, count) if score > false_block_rate(made, alpha)]
        assert all(made.p_value(score) <= alpha for score in blocked)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_false_block_rate_holds_over_random_splits(alpha: float) -> None:
    """Exchangeable prompts: the blocked share stays within alpha up to four standard errors of this simulation."""
    rng = random.Random(7)
    blocked = 0
    rounds = 4000
    for _ in range(rounds):
        scores = [rng.lognormvariate(0, 1) for _ in range(41)]
        blocked += scores[-1] > false_block_rate(calibration(scores[:-1]), alpha)
    assert blocked / rounds <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / rounds)
    assert blocked / rounds >= alpha - 1 / 41 - 4 * math.sqrt(alpha * (1 - alpha) / rounds)


def labelled(rng: random.Random, count: int) -> list[tuple[float, bool]]:
    """Scores and whether the prompt is bad: the higher the score, the likelier."""
    scores = [rng.random() for _ in range(count)]
    return [(score, rng.random() < score**2) for score in scores]


def of(pairs: list[tuple[float, bool]]) -> Calibration:
    scores, bad = zip(*pairs, strict=True)
    return Calibration("labelled", SETTINGS, scores, bad=bad)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_bad_pass_rate_holds_over_random_splits(alpha: float) -> None:
    """Conformal risk control: P(bad and passes) stays within alpha, and is not much below what n = 60 allows."""
    rng = random.Random(3)
    rounds = 4000
    passed = 0
    for _ in range(rounds):
        pairs = labelled(rng, 61)
        score, bad = pairs[-1]
        passed += bad and score <= bad_pass_rate(of(pairs[:-1]), alpha)
    slack = 4 * math.sqrt(alpha * (1 - alpha) / rounds)
    assert alpha - 2 / 61 - slack <= passed / rounds <= alpha + slack


def test_bad_pass_rate_by_hand() -> None:
    """19 prompts, alpha 0.1: 1 bad one may pass, so the threshold lies just below the second."""
    pairs = [(float(i), i in (5, 9, 14)) for i in range(19)]
    limit = bad_pass_rate(of(pairs), 0.1)
    assert 8 < limit < 9 and limit == math.nextafter(9, 0)
    assert bad_pass_rate(of(pairs), 0.5) == 18  # all three may pass: up to what the reference shows, not beyond
    with pytest.raises(EMoEError, match="has 19 prompts, too few for alpha 0.04"):
        bad_pass_rate(of(pairs), 0.04)
    with pytest.raises(EMoEError, match="no prompt marked as bad"):
        bad_pass_rate(calibration([1.0] * 30), 0.1)


def test_with_marks_good_prompts_are_the_measure() -> None:
    pairs = [(float(i), i >= 19) for i in range(40)]
    c = of(pairs)
    assert c.p_value(18.5) == 1 / 20 and c.percentile(18.5) == 100
    assert false_block_rate(c, 0.05) == 18
    assert block_share(c, 0.5) == 20 and block_share(c, 0.05) == 38
    with pytest.raises(EMoEError, match="only bad prompts"):
        of([(1.0, True)])


def test_every_policy_decides_and_says_why() -> None:
    c = (of([(float(i), i in (30, 60)) for i in range(99)]),)
    for policy, said in (("bad_pass_rate", "that are bad and pass"), ("block_share", "that are blocked")):
        verdict = decide(report(200, calibrations=c), policy, alpha=0.05)
        assert verdict.verdict == "block" and verdict.alpha == 0.05 and said in verdict.reason


def test_too_few_prompts_for_alpha_is_said_and_never_a_pass() -> None:
    with pytest.raises(EMoEError, match="has 18 good prompts, too few for alpha 0.05: it needs at least 19"):
        false_block_rate(calibration([1.0] * 18), 0.05)
    assert false_block_rate(calibration([float(i) for i in range(19)]), 0.05) == 18


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_alpha_must_be_a_share(alpha: float) -> None:
    with pytest.raises(EMoEError, match="alpha"):
        decide(report(1.0, calibrations=(calibration([1.0] * 99),)), "false_block_rate", alpha=alpha)


def test_verdicts_pass_and_block() -> None:
    c = (calibration([float(i) for i in range(99)]),)
    good = decide(report(50, calibrations=c), "false_block_rate", alpha=0.05)
    bad = decide(report(200, calibrations=c), "false_block_rate", alpha=0.05)
    assert (good.verdict, good.passed, bad.verdict, bad.passed) == ("pass", True, "block", False)
    assert bad.p_value == 0.01 and bad.percentile == 100 and bad.threshold == good.threshold == 94
    assert "p = 0.01 is at most alpha 0.05" in bad.line() and "cat" in bad.line()


def test_observe_records_and_lets_pass() -> None:
    seen = decide(report(2.0), "raw_threshold", threshold=1.0, mode="observe")
    assert seen.verdict == "block" and seen.passed and seen.line().startswith("observed block")


def test_copies_of_one_model_are_no_ensemble_to_judge_by() -> None:
    """They agree on everything, and nothing must pass for that."""
    same = replace(SETTINGS, experts=("x", "x"))
    with pytest.raises(EMoEError, match="All 2 experts are the same model.*preset one_model"):
        decide(report(0.0, settings=same), "raw_threshold", threshold=1.0)
    one_model = replace(same, estimator="guidance")
    assert decide(report(0.5, settings=one_model), "raw_threshold", threshold=1.0).passed


def test_the_reason_says_what_a_batch_does_to_the_rate() -> None:
    known = calibration([float(i) for i in range(100)])
    wanted = "worst of 3 images, each judged by that rate, so a good prompt is blocked up to 3 times as often"
    assert wanted in decide(report(1.0, 2.0, 3.0, calibrations=(known,)), "false_block_rate", alpha=0.1).reason
    assert "worst" not in decide(report(1.0, calibrations=(known,)), "false_block_rate", alpha=0.1).reason
    raw = decide(report(1.0, 2.0), "raw_threshold", threshold=5.0).reason
    assert raw.endswith("worst of 2 images")


def test_a_batch_passes_only_when_every_item_does() -> None:
    both = decide(report(0.5, 2.0), "raw_threshold", threshold=1.0)
    assert not both.passed and [item.verdict for item in both.items] == ["pass", "block"] and both.score == 2.0
    assert decide(report(0.5, 0.9), "raw_threshold", threshold=1.0).passed


def test_the_threshold_itself_passes() -> None:
    assert decide(report(1.0), "raw_threshold", threshold=1.0).passed
    assert not decide(report(math.nextafter(1.0, 2)), "raw_threshold", threshold=1.0).passed


def test_raw_threshold_shows_the_p_value_where_a_calibration_fits() -> None:
    c = (calibration([0.0, 1.0, 2.0]),)
    assert decide(report(5.0, calibrations=c), "raw_threshold", threshold=9).p_value == 0.25
    assert decide(report(5.0), "raw_threshold", threshold=9).p_value is None


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_never_passes(score: float) -> None:
    with pytest.raises(EMoEError, match="not a finite number"):
        decide(report(score), "raw_threshold", threshold=1.0)


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    with pytest.raises(EMoEError, match="finite"):
        decide(report(1.0), "raw_threshold", threshold=threshold)


def test_unknown_policy_and_mode() -> None:
    with pytest.raises(EMoEError, match="policy"):
        decide(report(1.0), "guess")
    with pytest.raises(EMoEError, match="mode"):
        decide(report(1.0), "raw_threshold", mode="maybe")


def test_no_calibration_is_an_error() -> None:
    with pytest.raises(SettingsMismatch, match="no calibration"):
        decide(report(1.0), "false_block_rate")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"noise_seed": 1}, "noise_seed is 1 instead of 0"),
        ({"tap": "noise_pred"}, "tap is noise_pred instead of mid_out"),
        ({"experts": ("a" * 64, "c" * 64)}, "experts is (aaaaaaaa, cccccccc) instead of (aaaaaaaa, bbbbbbbb)"),
        ({"sigma": 3.0, "latent": "given"}, "sigma is 3.0 instead of 14.6146; latent is given instead of empty"),
    ],
)
def test_other_settings_are_refused_and_named(change: dict[str, object], said: str) -> None:
    c = (calibration([1.0] * 50),)
    other = report(1.0, calibrations=c, settings=replace(SETTINGS, **change))  # type: ignore[arg-type]
    with pytest.raises(SettingsMismatch) as error:
        decide(other, "false_block_rate")
    assert said in str(error.value)


@pytest.mark.parametrize("scores", [[], [math.nan], [1.0, math.inf]])
def test_a_calibration_needs_finite_scores(scores: list[float]) -> None:
    with pytest.raises(EMoEError):
        calibration(scores)


def test_the_verdict_is_plain_json() -> None:
    c = (calibration([float(i) for i in range(99)]),)
    text = json.dumps(decide(report(200, calibrations=c), "false_block_rate").as_dict(), allow_nan=False)
    assert json.loads(text)["fingerprint"] == SETTINGS.fingerprint()
