"""Everything that a trial shows, for its page and its JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..gating.curves import Curve, by_oracle
from ..gating.decision_report import Decisions
from ..stats.agreement import Agreement
from ..stats.sequential import Difference, missing
from .by_prompt import Group, Quarter, Surprise, groups, quarters, surprises
from .foresight import ALONE, ONE_MODEL, Found, foresights, main_reading, placed, ruled, turned
from .labels import JUDGE, MARKS, Labelled, agreement, labelled
from .look import Look, look_at
from .store import Contents, Picture
from .thresholds import Advice, Offer, advice, decision_report, offers

#: Judges that were trained on what people like reward high guidance, so they are no label for comparing with `guidance`.
PREFERENCE = "preference"
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


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
        look: what the prompts without pictures say; None where there are none.
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
    look: Look | None

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
    found = foresights(contents, rows, chosen, excluded)
    main = next((one for one in found if one.name == chosen), None)
    single = [one for one in found if one.kind == ALONE and one is not main and one.name not in excluded]
    best = max(single, key=lambda one: one.value, default=None)
    gap = None if best is None or best.against is None else turned(best.against)
    rule, why, needed = ruled(main, gap, placed(rows, chosen) if chosen else None)
    drawn = [picture for prompt in contents.pictured for picture in prompt.pictures]
    own = [one for one in rows if chosen in one.prompt.scores]
    report = decision_report(contents, rows, chosen)
    seconds, with_score = _seconds(drawn)
    made = contents.facts.get("pictures")
    each = float(made) if type(made) is int and made > 0 else len(drawn) / len(contents.pictured)
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
        quarters=quarters(own, chosen),
        groups=groups(rows, chosen),
        certain_bad=surprises(own, chosen, bad=True),
        uncertain_good=surprises(own, chosen, bad=False),
        seconds=seconds,
        with_score=with_score,
        each=each,
        report=report,
        oracle=None if report is None else by_oracle(report.bad),
        offers=() if report is None else offers(contents, rows, chosen),
        advice=advice(contents, rows, found, main, rule, why),
        agreement=agreement(contents),
        look=look_at(contents),
    )


def _seconds(drawn: Sequence[Picture]) -> tuple[float | None, bool]:
    """The median of the runs' seconds, and whether they hold the score: it is only computed for a prompt's first picture."""
    later = [one.seconds for one in drawn if one.seconds is not None and one.number > 0]
    known = later or [one.seconds for one in drawn if one.seconds is not None]
    return (median(known) if known else None), not later


def _experts(contents: Contents) -> tuple[str, ...]:
    """The experts' names; where they are not known, as many empty ones as the settings have."""
    named = contents.facts.get("experts")
    if isinstance(named, list) and named:
        return tuple(map(str, named))
    counts = [len(one.settings.experts) for one in contents.readings if one.settings is not None]
    return ("",) * max(counts, default=0)


def lacking(one: Evidence) -> int:
    """About how many more pictures it takes before anything can be said at all."""
    return 0 if one.main is None else missing(placed(one.labelled, one.main.name))
