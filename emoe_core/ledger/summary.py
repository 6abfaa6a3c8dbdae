"""The ledger in a few figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from ..errors import EMoEError
from ..gating.gate import BLOCK, DECIDE
from ..records.calibration import Calibration
from ..stats.drift import ALARM_AT, drift
from .recalibrate import by_part, comparable, day, different, parts
from .store import Ledger, LedgerRow


def summarise(
    ledger: Ledger, calibration: Calibration | None = None, fingerprint: str | None = None
) -> list[dict[str, Any]]:
    """Figures per fingerprint, ready for JSON, the one with most rows first.

    Args:
        calibration: the reference for drift, under its own fingerprint; by default the calibration of a fingerprint's
            latest verdicts.
        fingerprint: only this one (its beginning is enough).

    Raises:
        EMoEError: there are no such rows, or none with the calibration's settings.
    """
    rows: dict[str, list[LedgerRow]] = {}
    for row in ledger.rows():
        if row.fingerprint.startswith(fingerprint or ""):
            rows.setdefault(row.fingerprint, []).append(row)
    if not rows:
        raise EMoEError(f"'{ledger.path}' has no verdicts" + (f" under '{fingerprint}'." if fingerprint else " yet."))
    own = None if calibration is None else calibration.settings.fingerprint()
    if calibration is not None and own not in rows:
        raise EMoEError(
            f"'{ledger.path}' has no verdicts under the settings of the calibration '{calibration.name}' "
            f"({own}); it has {', '.join(sorted(rows))}."
        )
    settings = ledger.settings()
    return [
        {
            "fingerprint": known,
            "experts": list(settings[known][1]),
            "settings": asdict(settings[known][0]),
            **_counts(rows[known]),
            "seconds": _seconds(rows[known]),
            "drift": _drift(ledger, rows[known], calibration if known == own else None),
        }
        for known in sorted(rows, key=lambda known: -len(rows[known]))
    ]


def _counts(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    decided = [row for row in rows if row.mode == DECIDE]
    blocked = sum(row.verdict == BLOCK for row in decided)
    return {
        "verdicts": len(rows),
        "different_prompts": len(different(rows)),
        "batches": sum(len(row.items) > 1 for row in rows),
        "from": rows[0].time,
        "to": rows[-1].time,
        "decided": len(decided),
        "blocked": blocked,
        "blocked_share": blocked / len(decided) if decided else None,
        "observed": len(rows) - len(decided),
        "observed_blocks": sum(row.verdict == BLOCK for row in rows if row.mode != DECIDE),
        "marked_good": sum(row.quality == "good" for row in rows),
        "marked_bad": sum(row.quality == "bad" for row in rows),
    }


def _seconds(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    """Seconds of runs, and what the gate saved.

    A run of one verdict that was let through takes g + s seconds (generation and score), a blocked one s; both are
    medians of the known runs. Saved: blocked x g - verdicts x s, over all verdicts of mode decide.
    """
    alone: dict[str, int] = {}
    for row in rows:
        if row.prompt_id is not None:
            alone[row.prompt_id] = alone.get(row.prompt_id, 0) + 1
    known = [
        row
        for row in rows
        if row.seconds is not None and row.run_status in ("success", "blocked") and alone.get(row.prompt_id or "") == 1
    ]
    through = [row.seconds for row in known if row.passed and row.seconds is not None]
    stopped = [row.seconds for row in known if not row.passed and row.seconds is not None]
    decided = [row for row in rows if row.mode == DECIDE]
    blocked = sum(row.verdict == BLOCK for row in decided)
    found: dict[str, Any] = {
        "runs_let_through": len(through),
        "runs_blocked": len(stopped),
        "let_through": median(through) if through else None,
        "blocked": median(stopped) if stopped else None,
        "not_drawn": None,
        "scoring": None,
        "saved": None,
    }
    if through and stopped:
        score = median(stopped)
        found["not_drawn"] = blocked * (median(through) - score)
        found["scoring"] = len(decided) * score
        found["saved"] = found["not_drawn"] - found["scoring"]
    return found


def _drift(ledger: Ledger, rows: Sequence[LedgerRow], calibration: Calibration | None) -> dict[str, Any]:
    if calibration is None:
        digests = [row.calibration for row in rows if row.calibration is not None]
        if not digests:
            return {"calibration": None, "why": "no verdict had a calibration; name one with --calibration"}
        rows = [row for row in rows if row.calibration == digests[-1]]
        try:
            calibration = ledger.calibration(digests[-1])
        except EMoEError as error:
            return {"calibration": None, "why": str(error)}
    # Each part has its own test; multiplying the level by their number keeps the rate for all alarms together.
    level = ALARM_AT * parts(calibration)
    new = comparable(rows, calibration)
    tested = [
        (drift(part.good_scores, [row.score for row in own], level), part, own)
        for part, own in by_part(new, calibration) or [(calibration.whole, [])]
    ]
    found, part, own = max(tested, key=lambda one: one[0].highest)
    return {
        "calibration": calibration.name,
        "compared_with": part.name,
        "reference_prompts": len(part.good_scores),
        **asdict(found),
        "count": len(new),
        "direction": found.direction if own else None,
        "alarm": found.alarm is not None,
        "alarm_id": None if found.alarm is None else own[found.alarm].id,
        "alarm_time": None if found.alarm is None else own[found.alarm].time,
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """The figures of a fingerprint for a person."""
    settings, seconds, moved = found["settings"], found["seconds"], found["drift"]
    shape = "x".join(map(str, settings["latent_shape"]))
    text = [
        f"settings {found['fingerprint']}: {settings['estimator']} at {settings['tap']}, latent {shape}, experts "
        f"{', '.join(found['experts'])}",
        f"  verdicts   {found['verdicts']}, of {found['different_prompts']} different prompts, {day(found['from'])} to "
        f"{day(found['to'])}",
    ]
    if found["decided"]:
        share = 100 * found["blocked_share"]
        text.append(f"  blocked    {found['blocked']} of {found['decided']} ({share:.1f} %)")
    if found["observed"]:
        text.append(f"  observed   {found['observed']}, of which {found['observed_blocks']} would have been blocked")
    if found["marked_good"] or found["marked_bad"]:
        text.append(f"  marked     {found['marked_good']} good, {found['marked_bad']} bad")
    text.append(f"  seconds    {_seconds_line(seconds)}")
    text.append(f"  drift      {_drift_line(moved)}")
    return text


def _seconds_line(seconds: Mapping[str, Any]) -> str:
    if seconds["saved"] is None:
        return "saved: not known; it takes runs of both kinds, which `ledger sync` asks a server for"
    return (
        f"saved {seconds['saved']:.0f}: {seconds['not_drawn']:.0f} not drawn, less {seconds['scoring']:.0f} for scores "
        f"(a run that passes takes {seconds['let_through']:.2f}, a blocked one {seconds['blocked']:.2f})"
    )


def _drift_line(moved: Mapping[str, Any]) -> str:
    if moved["calibration"] is None:
        return f"not known: {moved['why']}"
    against = f"against '{moved['compared_with']}' over {moved['count']} new prompts"
    if not moved["alarm"]:
        return f"none seen: evidence {moved['evidence']:.2g} of {moved['level']:g} {against}"
    return (
        f"WARNING: since verdict {moved['alarm_id']} ({day(moved['alarm_time'])}) scores no longer look like those of the "
        f"calibration (evidence {moved['highest']:.3g} of {moved['level']:g} {against}). The latest are {moved['direction']}: "
        "the Gate's rates hold for prompts like the calibration's only; make a new calibration"
    )
