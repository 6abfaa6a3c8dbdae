"""From the stored scores to the result: every group described, compared, corrected and ranked."""

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np

from ..records.message import Code, Message, load_all, load_one
from ..stats import compare
from . import statistics as stats
from .column import BASELINES, CONTROLS, FEWEST, Column, Options, extremes
from .numbers import Numbers
from .priorities import rank
from .result import HIGHER, LOWER, NONE, Adjusted, AuditResult, Confounder, GroupStats
from .store import Store

NEGLIGIBLE = 0.147  # a Cliff's delta below this is too small to matter (Romano et al. 2006), whatever its p-value
SURE = 0.05
REJECTED = 100

__all__ = ["Options", "analyse"]


def analyse(store: Store, options: Options | None = None) -> AuditResult:
    """The result of a finished (or half-finished) audit; it is also stored."""
    options = options or Options()
    plan, about = store.get("plan") or {}, store.get("about") or {}
    numbers = Numbers.load(store)
    bins = stats.edges(numbers.scores)
    failures = _failures(store)
    columns = tuple(dict.fromkeys(column for _, column, _ in store.groups()))
    groups: list[GroupStats] = []
    messages = [*load_all(about), *load_all(plan)]
    for column in columns:
        found, said = Column(numbers, column, options, bins, failures).groups()
        groups += found
        messages += said
    groups = _judged(groups)
    order = {column: place for place, column in enumerate(columns)}
    groups.sort(key=lambda g: (order[g.column], -(g.score.median if g.score else -np.inf), g.value))
    worst, best = extremes(store, None)
    failed, bad = store.failed(), int(next(store.query("SELECT COUNT(*) FROM bad_rows"))[0])
    left = int(plan.get("total", 0)) - store.done()
    if left > 0:
        messages.append(Message.of(Code.UNFINISHED, count=left))
    result = AuditResult(
        name=str(plan.get("name", store.path.stem)),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        settings=about.get("settings", {}),
        fingerprint=str(about.get("fingerprint", "")),
        experts=tuple(about.get("experts", ())),
        prompts=len(numbers.rows),
        failed=failed,
        bad=bad,
        bins=bins,
        overall=stats.describe(numbers.scores, bins) if len(numbers.rows) else None,
        columns=columns,
        id_column=str(plan.get("id_column", "")),
        references=options.references,
        calibration=load_one("calibration", about),
        alpha=options.alpha,
        groups=tuple(groups),
        priorities=rank(groups),
        confounders=_confounders(numbers, store),
        agreement={name: stats.rank_correlation(numbers.scores, numbers.values[name]) for name in BASELINES},
        worst=worst,
        best=best,
        messages=tuple(dict.fromkeys(messages)),
        rejected=tuple(_rejected(store)),
        source=str(store.path),
    )
    store.put(result=result.as_dict())
    return result


def _judged(groups: list[GroupStats]) -> list[GroupStats]:
    """Holm's correction over all groups of the audit, and the finding that follows."""
    compared = [i for i, group in enumerate(groups) if group.effect is not None]
    corrected = dict(zip(compared, compare.holm([groups[i].effect.p for i in compared]), strict=True))  # type: ignore[union-attr]
    judged = []
    for index, group in enumerate(groups):
        if group.effect is None:
            judged.append(group)
            continue
        effect = replace(group.effect, p_holm=corrected[index])
        finding = NONE
        if effect.p_holm <= SURE and abs(effect.delta) >= NEGLIGIBLE:
            finding = HIGHER if effect.delta > 0 else LOWER
        explained = finding != NONE and not _remains(group.adjusted, finding)
        judged.append(replace(group, effect=effect, finding=finding, explained=explained))
    return judged


def _remains(adjusted: Adjusted | None, finding: str) -> bool:
    """Whether the difference remains at equal length and wording. Other languages naturally share fewer words with English,
    so that mark alone does not count against it."""
    if adjusted is None or adjusted.low is None or adjusted.high is None or set(adjusted.marks) - {"shared_english"}:
        return False
    return adjusted.low >= NEGLIGIBLE if finding == HIGHER else adjusted.high <= -NEGLIGIBLE


def _confounders(numbers: Numbers, store: Store) -> tuple[Confounder, ...]:
    """Each property of the text against the score, over all prompts and, averaged, within the groups."""
    found = []
    for name in (*CONTROLS, "unknown"):
        values = numbers.values[name]
        within, count = 0.0, 0
        for number, _, _ in store.groups():
            places = numbers.members(number)
            rho = stats.rank_correlation(numbers.scores[places], values[places]) if len(places) >= FEWEST else None
            if rho is not None:
                within, count = within + rho * len(places), count + len(places)
        overall = stats.rank_correlation(numbers.scores, values)
        found.append(Confounder(name, overall, within / count if count else None))
    return tuple(found)


def _failures(store: Store) -> dict[int, int]:
    sql = "SELECT m.group_id, COUNT(*) FROM members m JOIN prompts p ON p.row = m.row WHERE p.error IS NOT NULL GROUP BY 1"
    return {int(group): int(count) for group, count in store.query(sql)}


def _rejected(store: Store) -> list[str]:
    lines = [f"line {line}: {reason}" for _, line, reason in store.bad_rows(REJECTED)]
    sql = "SELECT line, error FROM prompts WHERE error IS NOT NULL ORDER BY row LIMIT ?"
    return (lines + [f"line {line}: {error}" for line, error in store.query(sql, (REJECTED,))])[:REJECTED]
