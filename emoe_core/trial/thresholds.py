"""What a trial says of thresholds: its calibrations, what each policy would do, and what to set.

All of this counts prompts, since the Gate decides on prompts: a prompt is bad if at least half of its labelled pictures are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EMoEError
from ..gating.decision_report import Choice, Decisions, decisions
from ..gating.gate import DECIDE, OBSERVE
from ..gating.policies import ALPHA, DELTA, POLICIES
from ..records.calibration import Calibration, smallest_alpha
from .foresight import EDGE, ENSEMBLE, ONE_MODEL, PROVED, Found
from .labels import JUDGE, MARKS, Labelled, group_columns, labelled
from .store import Contents, Reading

_ROUNDS = 400
#: What the page works out beside the recommendation: the policy and its alpha.
OFFERS = (
    *(("false_block_rate", alpha) for alpha in (0.05, 0.1, 0.2)),
    ("block_share", 0.2),
    ("bad_pass_rate", 0.05),
    *(("bad_among_passed", alpha) for alpha in (0.1, 0.2)),
)


@dataclass(frozen=True)
class Offer:
    """What a policy's threshold does to the trial's own prompts; `does` is None where the policy finds none."""

    policy: str
    alpha: float
    threshold: float | None
    does: Mapping[str, float] | None


@dataclass(frozen=True)
class Advice:
    """What to set.

    Attributes:
        why: a key of the page's texts.
        threshold: what the policy gives with the preset's calibration; None where it gives none, or nothing was proved.
    """

    preset: str
    policy: str
    alpha: float
    threshold: float | None
    mode: str
    why: str


def calibration(contents: Contents, labels: str, reading: Reading, name: str) -> Calibration:
    """A labelled calibration of one reading: a prompt is bad if at least half of its labelled pictures are.

    Raises:
        EMoEError: there are no labels, or every prompt is bad.
    """
    return _calibration(labelled(contents, labels), labels, reading, name)


def _calibration(rows: Sequence[Labelled], labels: str, reading: Reading, name: str) -> Calibration:
    assert reading.settings is not None
    own = [one for one in rows if reading.name in one.prompt.scores]
    bad = tuple(one.bad for one in own)
    said = "marked by a person" if labels == MARKS else f"judged by '{labels.removeprefix(JUDGE)}'"
    return Calibration(
        name,
        reading.settings,
        tuple(one.prompt.scores[reading.name] for one in own),
        tuple(one.prompt.prompt for one in own),
        reference=f"{len(own)} prompts of a trial, {said}; a prompt is bad if at least half of its pictures are",
        bad=bad if any(bad) else (),
        groups={
            column: tuple(one.prompt.columns.get(column, "").strip() for one in own) for column in group_columns(own)
        },
    )


def of_reading(contents: Contents, rows: Sequence[Labelled], name: str) -> Calibration | None:
    """The calibration of a reading by its name; None where it can have none."""
    reading = next((one for one in contents.readings if one.name == name and one.settings is not None), None)
    own = [one for one in rows if name in one.prompt.scores]
    if reading is None or not own or all(one.bad for one in own):
        return None
    return _calibration(rows, MARKS, reading, name)


def decision_report(contents: Contents, rows: Sequence[Labelled], name: str) -> Decisions | None:
    """Curves and areas of a reading; None where all prompts are good, or all bad."""
    made = of_reading(contents, rows, name)
    if made is None or not any(made.bad):
        return None
    return decisions(made, Choice(), _ROUNDS)


def offers(contents: Contents, rows: Sequence[Labelled], name: str) -> tuple[Offer, ...]:
    """What each of the `OFFERS` would do with a reading; none where all prompts are bad."""
    made = of_reading(contents, rows, name)
    return () if made is None else tuple(_offer(made, policy, alpha) for policy, alpha in OFFERS)


def _offer(made: Calibration, policy: str, alpha: float) -> Offer:
    """The threshold and what it does to the prompts that it was learnt from."""
    limit = threshold(made, policy, alpha)
    if limit is None:
        return Offer(policy, alpha, None, None)
    scores, bad = np.array(made.scores), np.array(made.bad, dtype=bool)
    blocked = scores > limit
    does = {
        "blocked": float(blocked.mean()),
        "good_blocked": float(blocked[~bad].mean()),
        "bad_blocked": float(blocked[bad].mean()),
        "bad_among_passed": float(bad[~blocked].mean()) if (~blocked).any() else 0.0,
    }
    return Offer(policy, alpha, limit, does)


def threshold(made: Calibration, policy: str, alpha: float) -> float | None:
    """The policy's threshold; None where it finds none."""
    learn = POLICIES[policy].threshold
    assert learn is not None
    try:
        return learn(made.whole, alpha, DELTA)
    except EMoEError:
        return None


def advice(
    contents: Contents, rows: Sequence[Labelled], found: Sequence[Found], main: Found | None, rule: str, why: str
) -> Advice | None:
    """The main reading, unless another preset is clearly better; and the Gate's usual policy, once something is proved."""
    if main is None:
        return None
    presets = [one for one in found if one.kind == ENSEMBLE or one.name == ONE_MODEL]
    ahead = [one for one in presets if one.against is not None and one.against.low > 0 and one.low > EDGE]
    best, reason = main, "advice_main"
    if why == "behind":
        ahead = [one for one in ahead if one.name == ONE_MODEL]
    if ahead:
        best = max(ahead, key=lambda one: one.value)
        reason = "advice_one_model" if best.name == ONE_MODEL else "advice_other"
    made = of_reading(contents, rows, best.name)
    works = (rule == PROVED or best is not main) and made is not None
    if not works or made is None:
        return Advice(best.name, "false_block_rate", ALPHA, None, OBSERVE, "advice_observe")
    alpha = max(ALPHA, smallest_alpha(len(made.good_scores)))
    limit = threshold(made, "false_block_rate", alpha)
    return Advice(best.name, "false_block_rate", alpha, limit, OBSERVE if limit is None else DECIDE, reason)
