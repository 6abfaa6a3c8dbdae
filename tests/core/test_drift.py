"""Drift: a martingale by its own algebra, false alarms as rare as stated, and real changes seen."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.verdicts import SETTINGS, verdict
from scipy import stats

from emoe_core.__main__ import main
from emoe_core.ledger.store import Ledger
from emoe_core.records.calibration import Calibration
from emoe_core.stats.drift import BETS, JUMP, capital, drift, ranks


def test_ranks_by_hand() -> None:
    assert list(ranks([3.0, 1.0], [])) == []
    (high,) = ranks([1.0, 2.0, 3.0], [9.0])
    (low,) = ranks([1.0, 2.0, 3.0], [0.0])
    assert 0 <= high <= 1 / 4 and 3 / 4 <= low <= 1
    first, second = ranks([1.0, 2.0, 3.0], [9.0, 9.0])
    assert first == high and 0 <= second <= 2 / 5  # ties share their place
    assert all(0 <= p <= 1 for p in ranks([], [5.0, 5.0, 5.0]))


def test_ranks_are_uniform_and_independent_whatever_the_scores_with_ties_too() -> None:
    rng = random.Random(3)
    pairs = []
    for repeat in range(400):
        scores = [float(rng.randrange(5)) for _ in range(12)]
        pairs.append(list(ranks(scores[:10], scores[10:], seed=repeat)))
    for column in zip(*pairs, strict=True):
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    assert abs(stats.pearsonr(*zip(*pairs, strict=True)).statistic) < 0.2


@pytest.mark.parametrize("past", [[], [0.1], [0.9, 0.2, 0.4, 0.01]])
def test_the_capital_neither_grows_nor_shrinks_on_average(past: list[float]) -> None:
    """It is linear in the next p, so its mean over a uniform p is that of its ends."""
    now = [1.0, *capital(past)][-1]
    ends = [list(capital([*past, p]))[-1] for p in (0.0, 1.0)]
    assert sum(ends) / 2 == pytest.approx(now, rel=1e-12)


def test_the_capital_is_the_mixture_of_jumpers_that_start_at_every_row() -> None:
    rng = random.Random(1)
    p_values = [rng.random() ** 2 for _ in range(40)]

    def jumper(p_values: list[float]) -> float:
        """The Simple Jumper as published, from equal shares."""
        shares = [1 / len(BETS)] * len(BETS)
        for p in p_values:
            total = sum(shares)
            shares = [(1 - JUMP) * share + JUMP * total / len(BETS) for share in shares]
            shares = [share * (1 + bet * (p - 0.5)) for share, bet in zip(shares, BETS, strict=True)]
        return sum(shares)

    count = len(p_values)
    by_hand = 1 / (count + 1) + sum(jumper(p_values[k - 1 :]) / (k * (k + 1)) for k in range(1, count + 1))
    assert list(capital(p_values))[-1] == pytest.approx(by_hand, rel=1e-9)


def test_false_alarms_are_as_rare_as_stated_however_often_one_looks() -> None:
    """Over 250 rows each, at a level where alarms can be counted: at most 1 in 20."""
    rng, level, repeats = random.Random(7), 20.0, 300

    def alarms(draw: Any) -> int:
        found = [drift([draw() for _ in range(60)], [draw() for _ in range(250)], level) for _ in range(repeats)]
        return sum(one.alarm is not None for one in found)

    most = stats.binom.ppf(0.9999, repeats, 1 / level)
    assert alarms(lambda: rng.gauss(0, 1)) <= most
    assert alarms(lambda: float(rng.randrange(8))) <= most


@pytest.mark.parametrize("quiet", [0, 400])
@pytest.mark.parametrize(("shift", "direction"), [(1.5, "higher"), (-1.5, "lower")])
def test_a_change_is_seen_also_after_a_long_quiet_time(quiet: int, shift: float, direction: str) -> None:
    rng = random.Random(5)
    reference = [rng.gauss(0, 1) for _ in range(110)]
    scores = [rng.gauss(0, 1) for _ in range(quiet)] + [rng.gauss(shift, 1) for _ in range(80)]
    found = drift(reference, scores)
    assert found.alarm is not None and quiet <= found.alarm < quiet + 80 and found.direction == direction
    assert drift(reference, scores[:quiet]).alarm is None


def test_more_rows_do_not_change_what_was_said_before() -> None:
    rng = random.Random(5)
    scores = [rng.random() for _ in range(60)]
    assert list(ranks(scores[:20], scores[20:]))[:10] == list(ranks(scores[:20], scores[20:30]))


# --- in the summary ---------------------------------------------------------------------------------------------------


def keep(ledger: Ledger, calibration: Calibration, scores: list[float]) -> list[int]:
    how = {"policy": "false_block_rate", "alpha": 0.1, "calibrations": (calibration,)}
    return [ledger.add(replace(verdict(f"prompt {score}", score, **how), calibration=calibration)) for score in scores]


def summary(ledger: Ledger, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    code = main(["ledger", "summary", "--db", str(ledger.path), "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def test_drift_is_told_and_ends_with_a_new_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, ledger = random.Random(2), Ledger(tmp_path / "ledger.sqlite3")
    old = Calibration("old", SETTINGS, tuple(rng.random() for _ in range(60)), tuple(f"r{i}" for i in range(60)))
    keep(ledger, old, [rng.random() for _ in range(30)])
    code, said = summary(ledger, capsys, "--fail-on-drift")
    found = said["ledger"][0]["drift"]
    assert (code, said["drifted"], found["alarm"], found["count"]) == (0, False, False, 30)
    assert (found["calibration"], found["reference_prompts"]) == ("old", 60)

    ids = keep(ledger, old, [0.8 + 0.4 * rng.random() for _ in range(40)])
    code, said = summary(ledger, capsys)
    assert (code, said["drifted"]) == (0, True)
    code, said = summary(ledger, capsys, "--fail-on-drift")
    found = said["ledger"][0]["drift"]
    assert code == 1 and found["alarm"] and found["alarm_id"] in ids and found["direction"] == "higher"
    assert main(["ledger", "summary", "--db", str(ledger.path)]) == 0
    assert f"WARNING: since verdict {found['alarm_id']}" in capsys.readouterr().out

    out = tmp_path / "new.json"
    assert main(["ledger", "calibrate", "--db", str(ledger.path), "--fingerprint", "", "--out", str(out)]) == 0
    new = Calibration.load(out)
    keep(ledger, new, [rng.choice(new.scores) + 1e-6 * rng.random() for _ in range(30)])
    capsys.readouterr()
    code, said = summary(ledger, capsys, "--fail-on-drift")
    assert code == 0 and said["ledger"][0]["drift"]["calibration"] == "new"
    code, said = summary(ledger, capsys, "--calibration", str(out))
    assert said["ledger"][0]["drift"]["count"] == 30  # what the calibration was made of is no news to it


def test_what_is_marked_as_bad_is_no_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, ledger = random.Random(2), Ledger(tmp_path / "ledger.sqlite3")
    reference = Calibration("ref", SETTINGS, tuple(rng.random() for _ in range(60)))
    odd = keep(ledger, reference, [2 + rng.random() for _ in range(40)])
    assert summary(ledger, capsys)[1]["drifted"]
    ledger.mark(odd, "bad")
    found = summary(ledger, capsys)[1]
    assert not found["drifted"] and found["ledger"][0]["drift"]["count"] == 0


def test_a_group_is_held_against_its_own_reference_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the calibration scores low, half high; prompts of the high half alone are no drift, higher ones are."""
    rng, ledger = random.Random(2), Ledger(tmp_path / "ledger.sqlite3")
    scores = [rng.random() for _ in range(60)] + [2 + rng.random() for _ in range(60)]
    labels = ("en",) * 60 + ("ja",) * 60
    calibration = Calibration("two", SETTINGS, tuple(scores), groups={"language": labels})

    def keep_group(scores: list[float], group: str) -> list[int]:
        how = {"policy": "false_block_rate", "alpha": 0.1, "calibrations": (calibration,), "group": group}
        return [
            ledger.add(replace(verdict(f"prompt {score}", score, **how), calibration=calibration)) for score in scores
        ]

    keep_group([2 + rng.random() for _ in range(50)], "ja")
    found = summary(ledger, capsys)[1]["ledger"][0]["drift"]
    assert not found["alarm"] and found["compared_with"] == "two, language=ja" and found["reference_prompts"] == 60
    assert found["level"] == 300  # two groups and the whole
    keep_group([rng.random() for _ in range(20)], "en")
    ids = keep_group([3 + rng.random() for _ in range(50)], "language=ja")
    found = summary(ledger, capsys)[1]["ledger"][0]["drift"]
    assert found["alarm"] and found["alarm_id"] in ids and found["count"] == 120
    assert main(["ledger", "summary", "--db", str(ledger.path)]) == 0
    assert "against 'two, language=ja' over 120 new prompts" in capsys.readouterr().out
