"""What a trial shows: whether the score foresees bad pictures, by a rule that is fixed before anybody looks.

*Proved*: the lower bound of the AUROC's interval is above `EDGE`, and the score is not clearly behind the best number of one
model. *Refuted*: the upper bound is below `EDGE`. Otherwise *undecided*. The intervals may be looked at after every mark
(`emoe_core.stats.sequential`).

AUROC counts pictures, with the prompts as clusters. Everything that a threshold does counts prompts, since the Gate decides on
prompts: a prompt is bad if at least half of its labelled pictures are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from ..errors import EMoEError
from ..gating.curves import Curve, by_oracle
from ..gating.decision_report import Choice, Decisions, decisions
from ..gating.gate import DECIDE, OBSERVE
from ..gating.policies import ALPHA, DELTA, POLICIES
from ..records.calibration import Calibration, smallest_alpha
from ..stats.agreement import Agreement, kappa
from ..stats.compare import wilson
from ..stats.sequential import Difference, Placed, difference, missing, pictures_for, place
from .store import BAD, Contents, Picture, Prompt, Reading

#: The AUROC that the score must be surely above; 0.5 would be chance.
EDGE = 0.55
PROVED, REFUTED, UNDECIDED = "proved", "refuted", "undecided"
MARKS, JUDGE = "marks", "judge:"
#: Readings of one model, and the text's length in letters.
ONE_MODEL, RESPONSE, LENGTH = "one_model", "response", "length"
SINGLE = (ONE_MODEL, RESPONSE)
ENSEMBLE, ALONE, TEXT = "ensemble", "one model", "text"
#: Judges that were trained on what people like reward high guidance, so they are no label for comparing with `guidance`.
PREFERENCE = "preference"
_LOOK = "look"
_SHOWN = 8  # pictures in each list of surprises
_MOST_GROUPS = 40  # of a column
_ROUNDS = 400
#: What the page works out beside the recommendation: the policy and its alpha.
OFFERS = (
    *(("false_block_rate", alpha) for alpha in (0.05, 0.1, 0.2)),
    ("block_share", 0.2),
    ("bad_pass_rate", 0.05),
    *(("bad_among_passed", alpha) for alpha in (0.1, 0.2)),
)
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Labelled:
    """A prompt with those of its pictures that have a label.

    Attributes:
        pictures: each with whether it is bad, in the order of their numbers.
    """

    prompt: Prompt
    pictures: tuple[tuple[Picture, bool], ...]

    @property
    def bad(self) -> bool:
        """Whether at least half of the pictures are bad."""
        return 2 * sum(bad for _, bad in self.pictures) >= len(self.pictures)

    @property
    def share(self) -> float:
        """The share of bad ones among the pictures."""
        return sum(bad for _, bad in self.pictures) / len(self.pictures)


@dataclass(frozen=True)
class Found:
    """How well one reading or baseline foresees bad pictures.

    Attributes:
        kind: "ensemble", "one model" or "text".
        value, low, high: AUROC and its interval, on all labelled pictures that have this reading.
        against: this one's AUROC minus the main reading's on the pictures that have both; None for the main one itself.
    """

    name: str
    kind: str
    value: float
    low: float
    high: float
    pictures: int
    bad: int
    against: Difference | None


@dataclass(frozen=True)
class Quarter:
    """A quarter of the prompts by the main reading, the most certain first; `share` is their mean share of bad pictures."""

    low_score: float
    high_score: float
    prompts: int
    pictures: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """The prompts with one label of a column; `auroc` within it is None where there are too few of them to say anything."""

    column: str
    value: str
    prompts: int
    share: float
    low: float
    high: float
    auroc: float | None
    auroc_low: float
    auroc_high: float


@dataclass(frozen=True)
class Surprise:
    """A picture that came out otherwise than its score says.

    Attributes:
        above, below: share of the labelled prompts with a higher and with a lower score.
    """

    picture: Picture
    prompt: str
    score: float
    above: float
    below: float


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


@dataclass(frozen=True)
class Evidence:
    """Everything that the page and its JSON show.

    Attributes:
        labels: "marks" or "judge:NAME".
        drawn: pictures in all; `labelled` prompts hold those with a label.
        main: the reading that the rule is about; None where the trial has no reading of several models.
        best: the best number of one model that may be compared with, and None where there is none.
        gap: the main reading's AUROC minus that of `best`.
        rule: "proved", "refuted" or "undecided".
        why: what else the first sentence says: a key of the page's texts.
        needed: about how many more labelled pictures would decide it; None where that cannot be said.
        excluded: baselines that the judge is no label for.
        seconds: what a picture's run takes (median), None where it is unknown; `with_score` says whether the prompt's score is
            in it.
        each: pictures per prompt.
        report: curves and areas of the main reading by prompt; None where all prompts are good, or all bad.
        agreement: by judge, how far it agrees with the marks.
    """

    name: str
    labels: str
    experts: tuple[str, ...]
    drawn: int
    labelled: tuple[Labelled, ...]
    main: Found | None
    found: tuple[Found, ...]
    best: Found | None
    gap: Difference | None
    rule: str
    why: str
    needed: int | None
    excluded: tuple[str, ...]
    quarters: tuple[Quarter, ...]
    groups: tuple[Group, ...]
    certain_bad: tuple[Surprise, ...]
    uncertain_good: tuple[Surprise, ...]
    seconds: float | None
    with_score: bool
    each: float
    report: Decisions | None
    oracle: Curve | None
    offers: tuple[Offer, ...]
    advice: Advice | None
    agreement: Mapping[str, Agreement]

    @property
    def pictures(self) -> int:
        return sum(len(one.pictures) for one in self.labelled)

    @property
    def bad(self) -> int:
        return sum(bad for one in self.labelled for _, bad in one.pictures)

    def saved(self, blocked: float) -> float | None:
        """Seconds that blocking this share saves per 100 prompts; None where the seconds are unknown."""
        return None if self.seconds is None else 100 * blocked * self.seconds * self.each


def evidence(contents: Contents, labels: str = MARKS, name: str = "") -> Evidence:
    """What the trial shows with these labels.

    Args:
        labels: "marks", or "judge:NAME" for a judge's own verdicts; both are never mixed.

    Raises:
        EMoEError: the trial has no pictures, or no such labels.
    """
    rows = labelled(contents, labels)
    judge = labels.removeprefix(JUDGE) if labels != MARKS else ""
    excluded = (ONE_MODEL,) if judge.casefold().startswith(PREFERENCE) else ()
    chosen = main_reading(contents, excluded)
    found = _found(contents, rows, chosen, excluded)
    main = next((one for one in found if one.name == chosen), None)
    single = [one for one in found if one.kind == ALONE and one is not main and one.name not in excluded]
    best = max(single, key=lambda one: one.value, default=None)
    gap = None if best is None or best.against is None else _turned(best.against)
    rule, why, needed = _ruled(main, gap, _placed(rows, chosen) if chosen else None)
    drawn = [picture for prompt in _pictured(contents) for picture in prompt.pictures]
    own = [one for one in rows if chosen in one.prompt.scores]
    report = _report(contents, rows, chosen)
    seconds, with_score = _seconds(drawn)
    made = contents.facts.get("pictures")
    each = float(made) if type(made) is int and made > 0 else len(drawn) / len(_pictured(contents))
    return Evidence(
        name=name,
        labels=labels,
        experts=_experts(contents),
        drawn=len(drawn),
        labelled=rows,
        main=main,
        found=found,
        best=best,
        gap=gap,
        rule=rule,
        why=why,
        needed=needed,
        excluded=tuple(one for one in excluded if any(r.name == one for r in contents.readings)),
        quarters=_quarters(own, chosen),
        groups=_groups(rows, chosen),
        certain_bad=_surprises(own, chosen, bad=True),
        uncertain_good=_surprises(own, chosen, bad=False),
        seconds=seconds,
        with_score=with_score,
        each=each,
        report=report,
        oracle=None if report is None else by_oracle(report.bad),
        offers=() if report is None else _offers(contents, rows, chosen),
        advice=_advice(contents, rows, found, main, rule, why),
        agreement=_agreement(contents),
    )


def _seconds(drawn: Sequence[Picture]) -> tuple[float | None, bool]:
    """The median of the runs' seconds, and whether they hold the score: it is only computed for a prompt's first picture."""
    later = [one.seconds for one in drawn if one.seconds is not None and one.number > 0]
    known = later or [one.seconds for one in drawn if one.seconds is not None]
    return (median(known) if known else None), not later


# --- labels -----------------------------------------------------------------------------------------------------------


def _pictured(contents: Contents) -> list[Prompt]:
    """The prompts that were drawn; those of a look were only scored."""
    return [prompt for prompt in contents.prompts if prompt.pictures and prompt.columns.get("stage") != _LOOK]


def sources(contents: Contents) -> list[str]:
    """What labels the trial has: "marks", and each judge that says good or bad."""
    marked = any(picture.quality for prompt in _pictured(contents) for picture in prompt.pictures)
    judges = sorted({one.judge for one in contents.judgements if one.bad is not None})
    return [*([MARKS] if marked else []), *(f"{JUDGE}{judge}" for judge in judges)]


def labelled(contents: Contents, labels: str) -> tuple[Labelled, ...]:
    """The drawn prompts with a labelled picture.

    Raises:
        EMoEError: there are no pictures, or no such labels.
    """
    prompts = _pictured(contents)
    if not prompts:
        raise EMoEError("The trial has no pictures; draw some with 'python -m emoe_core prove draw'.")
    if labels == MARKS:
        bad = {one.id: one.quality == BAD for prompt in prompts for one in prompt.pictures if one.quality}
    elif labels.startswith(JUDGE):
        judge = labels.removeprefix(JUDGE)
        bad = {one.picture: one.bad for one in contents.judgements if one.judge == judge and one.bad is not None}
    else:
        raise EMoEError(f"Labels are '{MARKS}' or '{JUDGE}NAME', not '{labels}'.")
    rows = (
        Labelled(prompt, tuple((one, bad[one.id]) for one in prompt.pictures if one.id in bad)) for prompt in prompts
    )
    chosen = tuple(one for one in rows if one.pictures)
    if not chosen:
        known = sources(contents)
        advice = f"choose --labels {' or '.join(known)}" if known else "mark some in the Review tab, or let a judge say"
        wanted = "marked" if labels == MARKS else f"judged good or bad by '{labels.removeprefix(JUDGE)}'"
        raise EMoEError(f"No picture of the trial is {wanted}; {advice}.")
    return chosen


def main_reading(contents: Contents, excluded: Sequence[str] = ()) -> str:
    """The reading that the rule is about: the workflow's preset, else layout, else the first of several models; "" for none."""
    names = [one.name for one in contents.readings if one.settings is not None and one.name not in excluded]
    own = [str(node["inputs"].get("preset")) for node in _score_nodes(contents)]
    several = [one for one in names if one not in SINGLE]
    for wanted in (*own, "layout", *several, *names):
        if wanted in names:
            return wanted
    return ""


def _score_nodes(contents: Contents) -> list[Mapping[str, Any]]:
    """The workflow's Score nodes, whatever the facts hold."""
    graph = contents.facts.get("workflow")
    nodes = graph.values() if isinstance(graph, dict) else ()
    return [
        node
        for node in nodes
        if isinstance(node, dict) and node.get("class_type") == "EMoE_Score" and isinstance(node.get("inputs"), dict)
    ]


def _experts(contents: Contents) -> tuple[str, ...]:
    """The experts' names; where they are not known, as many empty ones as the settings have."""
    named = contents.facts.get("experts")
    if isinstance(named, list) and named:
        return tuple(map(str, named))
    counts = [len(one.settings.experts) for one in contents.readings if one.settings is not None]
    return ("",) * max(counts, default=0)


# --- AUROC ------------------------------------------------------------------------------------------------------------


def _score(prompt: Prompt, reading: str) -> float | None:
    return float(len(prompt.prompt)) if reading == LENGTH else prompt.scores.get(reading)


def _placed(rows: Sequence[Labelled], reading: str, needs: str = "") -> Placed:
    """A reading's AUROC on the pictures of the prompts that have it, and another one that is compared with it."""
    used = [
        (_score(one.prompt, reading) or 0.0, bad, one.prompt.id)
        for one in rows
        for _, bad in one.pictures
        if _score(one.prompt, reading) is not None and (not needs or _score(one.prompt, needs) is not None)
    ]
    return place([one[0] for one in used], [one[1] for one in used], [one[2] for one in used])


def _found(contents: Contents, rows: Sequence[Labelled], main: str, excluded: Sequence[str]) -> tuple[Found, ...]:
    kinds = {
        one.name: ALONE if one.name in SINGLE else ENSEMBLE for one in contents.readings if one.name not in excluded
    }
    made = []
    for name, kind in {**kinds, LENGTH: TEXT}.items():
        placed = _placed(rows, name)
        if not placed.bad + placed.good:
            continue
        low, high = placed.interval()
        against = None
        if main and name != main:
            against = difference(_placed(rows, name, main), _placed(rows, main, name))
        made.append(Found(name, kind, placed.value, low, high, placed.bad + placed.good, placed.bad, against))
    return tuple(made)


def _turned(one: Difference) -> Difference:
    return Difference(-one.value, -one.high, -one.low)


def _ruled(main: Found | None, gap: Difference | None, placed: Placed | None) -> tuple[str, str, int | None]:
    """The rule's word, what the first sentence says, and how many more pictures would decide."""
    if main is None or placed is None:
        return UNDECIDED, "no_reading", None
    if not placed.enough:
        toward = pictures_for(placed, EDGE)
        return UNDECIDED, "few", toward if placed.bad and placed.good else None
    if main.low > EDGE:
        if gap is None:
            return PROVED, "proved_alone", None
        if gap.high < 0:
            return UNDECIDED, "behind", None
        return PROVED, "proved_better" if gap.low > 0 else "proved_alike", None
    if main.high < EDGE:
        return REFUTED, "refuted", None
    needed = pictures_for(placed, EDGE)
    return UNDECIDED, "open" if needed is not None else "open_far", needed


def lacking(one: Evidence) -> int:
    """About how many more pictures it takes before anything can be said at all."""
    return 0 if one.main is None else missing(_placed(one.labelled, one.main.name))


# --- by prompt --------------------------------------------------------------------------------------------------------


def _quarters(rows: Sequence[Labelled], reading: str) -> tuple[Quarter, ...]:
    """Four parts of the prompts in the order of their scores; equal scores stay together in the lower one."""
    if len(rows) < 4:
        return ()
    scores = np.array([one.prompt.scores[reading] for one in rows])
    edges = np.quantile(scores, (0.25, 0.5, 0.75), method="inverted_cdf")
    part = np.searchsorted(edges, scores, side="left")
    made = []
    for number in range(4):
        own = [one for one, p in zip(rows, part, strict=True) if p == number]
        if own:
            inside = scores[part == number]
            count = sum(len(one.pictures) for one in own)
            made.append(Quarter(float(inside.min()), float(inside.max()), len(own), count, *_share(own)))
    return tuple(made)


def _share(rows: Sequence[Labelled]) -> tuple[float, float, float]:
    """The prompts' mean share of bad pictures, with Wilson's interval for as many prompts."""
    share = sum(one.share for one in rows) / len(rows)
    return (share, *wilson(share, len(rows)))


def _group_columns(rows: Sequence[Labelled]) -> list[str]:
    """Columns whose labels cover two prompts or more on average: neither row numbers nor free text."""
    found = []
    for name in dict.fromkeys(column for one in rows for column in one.prompt.columns):
        values = [one.prompt.columns.get(name, "").strip() for one in rows]
        known = [value for value in values if value]
        if known and name != "stage" and 2 * len(set(known)) <= len(known):
            found.append(name)
    return found


def _groups(rows: Sequence[Labelled], reading: str) -> tuple[Group, ...]:
    made = []
    for column in _group_columns(rows):
        values: dict[str, list[Labelled]] = {}
        for one in rows:
            if label := one.prompt.columns.get(column, "").strip():
                values.setdefault(label, []).append(one)
        if len(values) < 2:
            continue
        for value, own in sorted(values.items(), key=lambda pair: -len(pair[1]))[:_MOST_GROUPS]:
            placed = _placed(own, reading) if reading else None
            low, high = placed.interval() if placed else (0.0, 1.0)
            auroc = placed.value if placed is not None and placed.enough else None
            made.append(Group(column, value, len(own), *_share(own), auroc, low, high))
    return tuple(made)


def _surprises(rows: Sequence[Labelled], reading: str, bad: bool) -> tuple[Surprise, ...]:
    """Pictures that are bad though the score is in the lower half, or good though it is in the upper; one of each prompt."""
    scores = np.sort([one.prompt.scores[reading] for one in rows])
    made: list[Surprise] = []
    for one in sorted(rows, key=lambda one: one.prompt.scores[reading], reverse=not bad):
        score = one.prompt.scores[reading]
        below, upto = (float(np.searchsorted(scores, score, side)) / len(scores) for side in ("left", "right"))
        if len(made) == _SHOWN or (1 - upto if bad else below) < 0.5:
            break
        fitting = [picture for picture, is_bad in one.pictures if is_bad == bad]
        if fitting:
            made.append(Surprise(fitting[0], one.prompt.prompt, score, 1 - upto, below))
    return tuple(made)


# --- thresholds -------------------------------------------------------------------------------------------------------


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
            column: tuple(one.prompt.columns.get(column, "").strip() for one in own) for column in _group_columns(own)
        },
    )


def _of(contents: Contents, rows: Sequence[Labelled], name: str) -> Calibration | None:
    """The calibration of a reading by its name; None where it can have none."""
    reading = next((one for one in contents.readings if one.name == name and one.settings is not None), None)
    own = [one for one in rows if name in one.prompt.scores]
    if reading is None or not own or all(one.bad for one in own):
        return None
    return _calibration(rows, MARKS, reading, name)


def _report(contents: Contents, rows: Sequence[Labelled], name: str) -> Decisions | None:
    made = _of(contents, rows, name)
    if made is None or not any(made.bad):
        return None
    return decisions(made, Choice(), _ROUNDS)


def _offers(contents: Contents, rows: Sequence[Labelled], name: str) -> tuple[Offer, ...]:
    made = _of(contents, rows, name)
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


def _advice(
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
    made = _of(contents, rows, best.name)
    works = (rule == PROVED or best is not main) and made is not None
    if not works or made is None:
        return Advice(best.name, "false_block_rate", ALPHA, None, OBSERVE, "advice_observe")
    alpha = max(ALPHA, smallest_alpha(len(made.good_scores)))
    limit = threshold(made, "false_block_rate", alpha)
    return Advice(best.name, "false_block_rate", alpha, limit, OBSERVE if limit is None else DECIDE, reason)


# --- judges -----------------------------------------------------------------------------------------------------------


def _agreement(contents: Contents) -> dict[str, Agreement]:
    """By judge: how far its verdicts agree with the marks on the pictures that have both."""
    marks = {one.id: one.quality == BAD for prompt in _pictured(contents) for one in prompt.pictures if one.quality}
    found: dict[str, tuple[list[bool], list[bool]]] = {}
    for one in contents.judgements:
        if one.bad is not None and one.picture in marks:
            eye, judge = found.setdefault(one.judge, ([], []))
            eye.append(marks[one.picture])
            judge.append(one.bad)
    return {judge: kappa(*both) for judge, both in sorted(found.items())}
