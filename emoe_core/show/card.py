"""The score card: one picture that shows what a score means, and the same figures for the frontend's own widget."""

import math
from typing import Any

import numpy as np
from PIL import Image

from ..charts.canvas import Canvas
from ..charts.theme import Colour, mixed, viridis
from ..gating.gate import BLOCK, Verdict
from ..records.calibration import Calibration
from ..records.report import Report

CARD_SCHEMA = 1
BINS = 24
#: Pixels. A node shows it at little more than half this size, so the letters are large.
SIZE = (560, 440)
_LARGE, _TEXT, _SMALL = 46, 27, 24
_PASS, _BLOCK = (86, 180, 233), (230, 159, 0)  # sky blue and orange of Okabe and Ito, which everybody can tell apart


def card(report: Report, verdict: Verdict | None = None, calibration: Calibration | None = None) -> dict[str, Any]:
    """What the card and the widget show, ready for JSON.

    Args:
        verdict: the Gate's; None on the Score node, which does not decide.
        calibration: on the Score node, one that fits the score; the Gate's comes with its verdict.
    """
    calibration = calibration if verdict is None else verdict.calibration
    item = max(report.items, key=lambda one: one.score)
    found: dict[str, Any] = {
        "schema": CARD_SCHEMA,
        "kind": "score" if verdict is None else "gate",
        **item.numbers(),
        "items": [one.score for one in report.items],
        "percentile": None if calibration is None else calibration.percentile(item.score),
        "p_value": None if calibration is None else calibration.p_value(item.score),
        "calibration": None if calibration is None else _histogram(calibration),
        "experts": list(report.experts),
        "pairwise": [list(row) for row in report.pairwise],
        "prompt": report.prompt,
        "warnings": list(report.warnings),
        "fingerprint": report.settings.fingerprint(),
    }
    if verdict is not None:
        told = verdict.as_dict()
        names = ("verdict", "passed", "mode", "policy", "alpha", "threshold", "reason", "percentile", "p_value")
        found |= {name: told[name] for name in names}
    if report.took is not None:
        found |= {"took": report.took.brief(), "expected": report.took.next()}
    return found


def _histogram(calibration: Calibration) -> dict[str, Any]:
    scores = calibration.good_scores
    counts, edges = np.histogram(scores, BINS)
    return {
        "name": calibration.name,
        "count": len(scores),
        "low": float(edges[0]),
        "high": float(edges[-1]),
        "counts": [int(count) for count in counts],
    }


def card_picture(shown: dict[str, Any]) -> Image.Image:
    """The card as a picture of `SIZE` with its own background, the same on a light and on a dark canvas."""
    canvas = Canvas(SIZE, "dark", 1.0)
    width, pad = SIZE[0], 20.0
    verdict = shown.get("verdict")
    colour = canvas.theme.series[0] if verdict is None else _BLOCK if verdict == BLOCK else _PASS
    canvas.box(0, 0, 8, SIZE[1], colour)
    head = "SCORE" if verdict is None else str(verdict).upper()
    canvas.text(pad, 38, head, colour, size=_LARGE)
    canvas.text(width - pad, 38, f"{shown['score']:.4g}", size=_LARGE, align="right")
    canvas.text(pad, 84, _line(shown), size=_TEXT, room=width - 2 * pad)
    if shown.get("mode") == "observe":
        canvas.text(width / 2, 38, "observed", canvas.theme.faint, "centre", _SMALL)
    _gauge(canvas, shown, colour, (pad, 122.0, width - pad, 250.0))
    _agreement(canvas, shown, (pad, 306.0, SIZE[1] - pad))
    _parts(canvas, shown, pad + 190, 318.0)
    return canvas.finished()


def _line(shown: dict[str, Any]) -> str:
    if shown["percentile"] is None:
        return "no calibration for these settings"
    return f"above {shown['percentile']:.0f} % of known prompts, p = {shown['p_value']:.2g}"


def gauge_range(shown: dict[str, Any]) -> tuple[float, float]:
    """Lowest and highest score of the gauge: it covers the calibration, the score and the threshold, with a margin."""
    values = [shown["score"]]
    if shown.get("threshold") is not None:
        values.append(shown["threshold"])
    if shown["calibration"] is not None:
        values += [shown["calibration"]["low"], shown["calibration"]["high"]]
    else:
        values.append(0.0)
    low, high = min(values), max(values)
    air = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    return low - air if low < 0 else max(low - air, 0.0), high + air


def _gauge(canvas: Canvas, shown: dict[str, Any], colour: Colour, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    low, high = gauge_range(shown)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bars = shown["calibration"]
    if bars is not None:
        step = (bars["high"] - bars["low"]) / len(bars["counts"])
        for place, count in enumerate(bars["counts"]):
            start = bars["low"] + place * step
            tall = (bottom - top) * 0.85 * count / max(bars["counts"])
            canvas.box(
                x(start) + 1, bottom - tall, x(start + step) - 1, bottom, mixed(colour, canvas.theme.paper, 0.35)
            )
    canvas.line([(left, bottom), (right, bottom)], canvas.theme.faint, 2)
    threshold = shown.get("threshold")
    if threshold is not None:
        at = x(threshold)
        canvas.line([(at, top - 6), (at, bottom)], canvas.theme.ink, 2.5, 7.0)
        side = "right" if at > (left + right) / 2 else "left"
        near = at - 8 if side == "right" else at + 8
        canvas.text(near, top + 4, f"limit {threshold:.3g}", canvas.theme.ink, side, _SMALL)
    canvas.line([(x(shown["score"]), bottom - 70), (x(shown["score"]), bottom)], colour, 4)
    canvas.dot(x(shown["score"]), bottom - 70, 10, colour)
    canvas.text(left, bottom + 22, f"{low:.2g}", canvas.theme.faint, size=_SMALL)
    canvas.text(right, bottom + 22, f"{high:.2g}", canvas.theme.faint, "right", _SMALL)
    canvas.text((left + right) / 2, bottom + 22, "uncertainty", canvas.theme.faint, "centre", _SMALL)


def _agreement(canvas: Canvas, shown: dict[str, Any], box: tuple[float, float, float]) -> None:
    """One square per expert pair: dark where they agree, yellow for the largest distance between any two."""
    left, top, bottom = box
    rows = shown["pairwise"]
    side = (bottom - top) / max(len(rows), 1)
    highest = max((value for row in rows for value in row), default=0.0)
    for line, row in enumerate(rows):
        for place, value in enumerate(row):
            ground = canvas.theme.grid if line == place else viridis(value / highest if highest > 0 else 0.0)
            x, y = left + place * side, top + line * side
            canvas.box(x + 1, y + 1, x + side - 1, y + side - 1, ground)


def _parts(canvas: Canvas, shown: dict[str, Any], left: float, top: float) -> None:
    rows = shown["pairwise"]
    room, step = SIZE[0] - left - 20, 32
    lines = [f"{len(rows)} experts"]
    pairs = [(rows[i][j], j, i) for i in range(len(rows)) for j in range(i)]
    if pairs and max(pairs)[0] > 0:
        _, one, other = max(pairs)
        lines[0] += f", {one + 1} and {other + 1} most apart"
    lines.append(f"from the models {shown['epistemic']:.2g}")
    seed = shown["seed_variance"]
    lines.append(
        "from the seed: not measured" if seed is None or not math.isfinite(seed) else f"from the seed {seed:.2g}"
    )
    for place, text in enumerate(lines):
        canvas.text(left, top + place * step, text, None if place == 0 else canvas.theme.faint, size=_SMALL, room=room)
