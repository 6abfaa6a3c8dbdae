"""The score card: its figures are the report's and the verdict's own, and its picture shows them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from emoe_core.gating.gate import decide, fitting
from emoe_core.records.calibration import Calibration
from emoe_core.records.report import ItemScore, Report
from emoe_core.records.settings import Settings
from emoe_core.show.card import BINS, SIZE, card, card_picture, gauge_range

SETTINGS = Settings(("a", "b", "c"), ("shared",), "mid_out", "relative", 14.6, 0, 2, (4, 16, 16), "empty", "float32")
CALIBRATION = Calibration("known", SETTINGS, tuple(0.1 + 0.002 * i for i in range(100)))


def report(*scores: float, seed: float | None = 0.1) -> Report:
    pairs = ((0.0, 0.1, 0.2), (0.1, 0.0, 0.3), (0.2, 0.3, 0.0))
    items = tuple(ItemScore(score, 0.01, 0.5, seed, 1.5, None) for score in scores)
    return Report(SETTINGS, items, ("one", "two", "three"), ("", "", ""), pairs, calibrations=(CALIBRATION,))


def test_the_figures_are_the_reports_and_ready_for_json() -> None:
    shown = card(report(0.15, 0.2501), None, CALIBRATION)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert (shown["score"], shown["kind"], shown["items"]) == (0.2501, "score", [0.15, 0.2501])
    assert shown["percentile"] == CALIBRATION.percentile(0.2501) and shown["p_value"] == CALIBRATION.p_value(0.2501)
    assert "verdict" not in shown and "threshold" not in shown
    bars = shown["calibration"]
    assert sum(bars["counts"]) == bars["count"] == 100 and len(bars["counts"]) == BINS
    assert (bars["low"], bars["high"]) == (min(CALIBRATION.scores), max(CALIBRATION.scores))


def test_bad_prompts_of_a_calibration_are_no_part_of_what_is_known() -> None:
    marked = Calibration("marked", SETTINGS, (0.1, 0.2, 0.9), bad=(False, False, True))
    shown = card(report(0.15), None, marked)
    assert (shown["calibration"]["count"], shown["calibration"]["high"]) == (2, 0.2)


def test_the_gates_card_has_the_verdict() -> None:
    verdict = decide(report(0.4), "false_block_rate", alpha=0.1)
    shown = card(verdict.report, verdict, fitting(verdict.report, verdict.report.calibrations))
    assert (shown["kind"], shown["verdict"], shown["threshold"]) == ("gate", "block", verdict.threshold)
    assert (shown["p_value"], shown["percentile"]) == (verdict.p_value, verdict.percentile)


def test_a_calibration_of_other_settings_is_not_shown() -> None:
    other = Calibration("other", Settings(**{**SETTINGS.__dict__, "noise_seed": 1}), (0.1,))
    assert fitting(report(0.1), (other,)) is None
    assert fitting(report(0.1), (other, CALIBRATION)) is CALIBRATION


def threshold_column(shown: dict[str, Any]) -> int:
    low, high = gauge_range(shown)
    return round(20 + (shown["threshold"] - low) / (high - low) * (SIZE[0] - 40))


@pytest.mark.parametrize("limit", [0.12, 0.2, 0.29])
def test_the_threshold_is_drawn_where_it_is(limit: float) -> None:
    """The only upright line as light as the text: found in the picture, at the place that the scale gives."""
    verdict = decide(report(0.25), "raw_threshold", threshold=limit)
    shown = card(verdict.report, verdict, CALIBRATION)
    rows = np.asarray(card_picture(shown).convert("L"), dtype=float)[140:168]
    light = np.flatnonzero((rows > 200).mean(axis=0) > 0.3)
    assert len(light) and abs(light.mean() - threshold_column(shown)) <= 1.5


def test_a_blocked_card_looks_another_colour_and_reading_needs_none() -> None:
    cards = [card(r, decide(r, "raw_threshold", threshold=0.2), None) for r in (report(0.1), report(0.3))]
    passed, blocked = (np.asarray(card_picture(one)) for one in cards)
    assert passed.shape == blocked.shape == (SIZE[1], SIZE[0], 3)
    assert tuple(passed[200, 3]) != tuple(blocked[200, 3])
    grey = [np.asarray(card_picture(one).convert("L"), dtype=float)[10:66, 15:250] for one in cards]
    assert (np.abs(grey[0] - grey[1]) > 60).mean() > 0.05  # the word is another one, not only its colour


@pytest.mark.parametrize("scores", [(0.0,), (1e-9,), (-3.0,), (1e9,)])
def test_any_finite_score_gives_a_card(scores: tuple[float, ...]) -> None:
    low, high = gauge_range(card(report(*scores, seed=None)))
    assert low <= scores[0] <= high and low < high
    assert card_picture(card(report(*scores, seed=None))).size == SIZE
