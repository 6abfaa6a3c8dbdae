"""The groups of one column: each is described and compared with the others, and what raises its score is looked for."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import EMoEError
from ..gating.policies import ALPHA
from ..records.message import Code, Message
from ..stats import compare
from ..stats.evaluation import Floats
from . import statistics as stats
from .numbers import Indices, Numbers
from .plan import AuditPlan
from .priorities import Weights, weight_of
from .result import FEW, NONE, Adjusted, Baseline, Cause, Effect, GroupStats, PromptScore, TextFacts
from .store import Store
from .text import words

FEWEST = 5  # a group with fewer prompts gets no finding
MOST_COMPARED = 50_000  # prompts per side of a comparison; a fixed random part is taken of more
BASELINES = ("response", "guidance")
CONTROLS = ("tokens", "tokens_per_word", "truncated", "shared_english")
Array = TypeVar("Array", bound=NDArray[Any])


@dataclass(frozen=True)
class Options:
    """How the scores of an audit are evaluated.

    Attributes:
        references: "column=value" of the group that the others of its column are compared with; at most one per column.
        alpha: prompts with a p-value up to this count as blocked.
        weights: by (column, value); a `weight_column` of the prompt file is averaged over the group.
    """

    references: tuple[str, ...] = ()
    alpha: float = ALPHA
    weights: Weights = field(default_factory=dict)
    weight_column: str = ""

    def check(self, plan: AuditPlan) -> None:
        """An `EMoEError` for a reference or a weight column that the prompt file lacks; call it before scoring."""
        for reference in self.references:
            column, _, value = reference.partition("=")
            if value not in plan.values.get(column, {}):
                known = ", ".join(f"{name}={next(iter(plan.values[name]), '')}" for name in plan.groups) or "none"
                raise EMoEError(
                    f"The reference '{reference}' is no group of '{plan.path.name}'; write it as column=value. Groups are "
                    f"like: {known}."
                )
        if self.weight_column and self.weight_column not in plan.columns:
            known = ", ".join(plan.columns) or "none beside the prompt"
            raise EMoEError(
                f"The weight column '{self.weight_column}' is not in '{plan.path.name}'; its columns are {known}."
            )


class Column:
    """The groups of one column, side by side."""

    def __init__(
        self, numbers: Numbers, column: str, options: Options, bins: tuple[float, ...], failures: dict[int, int]
    ) -> None:
        self.numbers, self.column, self.options, self.bins, self.failures = numbers, column, options, bins, failures
        self.all = [(number, value) for number, name, value in numbers.store.groups() if name == column]
        self.places = {number: numbers.members(number) for number, _ in self.all}
        wanted = {reference.partition("=")[2] for reference in options.references if reference.startswith(f"{column}=")}
        chosen = [(number, value) for number, value in self.all if value in wanted]
        self.reference = chosen[0][0] if chosen else None
        self.against = f"{column}={chosen[0][1]}" if chosen else "the other groups"
        self.table, self.repeated = numbers.table([number for number, _ in self.all])
        shared = (self.table >= 0).sum(axis=1) > 1
        self.parallel = bool(shared.any())
        self._tables: dict[str, Floats] = {}

    def groups(self) -> tuple[list[GroupStats], list[Message]]:
        """Every group, and the messages about the column."""
        said = []
        if self.parallel and self.repeated:
            said.append(Message.of(Code.REPEATED, count=self.repeated, column=self.column))
        found = [self._group(index, number, value) for index, (number, value) in enumerate(self.all)]
        for group in found:
            name = f"{self.column}={group.value}"
            if group.n == 0:
                said.append(Message.of(Code.EMPTY, group=name))
            elif group.n < FEWEST:
                said.append(Message.of(Code.FEW, group=name, count=group.n))
        return found, said

    def _group(self, index: int, number: int, value: str) -> GroupStats:
        places, values = self.places[number], self.numbers.values
        scores = values["score"][places]
        blocked = _blocked(values["p_value"][places], self.options.alpha)
        effect = unpaired = None
        adjusted: Adjusted | None = None
        baselines: list[Baseline] = []
        others = self._others(number)
        if number != self.reference and len(places) >= FEWEST and len(others) >= FEWEST:
            unpaired = self._unpaired("score", index, others)
            effect = self._paired("score", index) or unpaired
            adjusted = self._adjusted(places, others)
            baselines = self._baselines(index, places, others, effect.paired)
        worst, best = extremes(self.numbers.store, number)
        concepts: tuple[Cause, ...] = ()
        if self.parallel:
            first = next((i for i, (n, _) in enumerate(self.all) if n == self.reference), 0)
            concepts = lacking_concepts(self.numbers, self.table, self._scores_table("score"), index, first)
        return GroupStats(
            column=self.column,
            value=value,
            n=len(places),
            failed=self.failures.get(number, 0),
            score=stats.describe(scores, self.bins) if len(places) else None,
            blocked=blocked[0],
            blocked_low=blocked[1],
            blocked_high=blocked[2],
            effect=effect,
            unpaired=unpaired,
            adjusted=adjusted,
            finding=FEW if effect is None else NONE,
            explained=False,
            baselines=tuple(baselines),
            text=_facts({name: array[places] for name, array in values.items()}) if len(places) else None,
            worst=worst,
            best=best,
            words=raising_words(self._texts(number), 2 if len(places) < 200 else 3),
            concepts=concepts,
            weight=self._weight(number, value),
        )

    def _others(self, number: int) -> Indices:
        """Indices of the prompts that the group is compared with; a prompt on both sides counts for the group."""
        if self.reference is not None:
            return np.setdiff1d(self.places[self.reference], self.places[number])
        others = [places for other, places in self.places.items() if other != number]
        if not others:
            return np.empty(0, dtype=np.int64)
        return np.setdiff1d(np.concatenate(others), self.places[number])

    def _units(self, name: str, places: Indices) -> Floats:
        """One value per independent prompt: prompts with one id are averaged first."""
        values, ids = self.numbers.values[name][places], self.numbers.ids[places]
        with_id = ids >= 0
        if not with_id.any():
            return _part(values)
        _, inverse = np.unique(ids[with_id], return_inverse=True)
        means = np.bincount(inverse, values[with_id]) / np.bincount(inverse)
        return _part(np.concatenate([means, values[~with_id]]))

    def _other_units(self, name: str, index: int, others: Indices) -> Floats:
        """Like `_units`, for the groups that this one is compared with; parallel prompts of several groups stay separate."""
        if not self.parallel:
            return self._units(name, others)
        if not self.repeated:
            return _part(self.numbers.values[name][others])
        base = [i for i, (number, _) in enumerate(self.all) if number == self.reference]
        means = self._scores_table(name)
        means = means[:, base] if base else np.delete(means, index, axis=1)
        return _part(np.concatenate([means[np.isfinite(means)], self.numbers.values[name][self._without_id(others)]]))

    def _without_id(self, places: Indices) -> Indices:
        return places[self.numbers.ids[places] < 0]

    def _unpaired(self, name: str, index: int, others: Indices) -> Effect:
        places = self.places[self.all[index][0]]
        found = compare.between(self._units(name, places), self._other_units(name, index, others))
        return Effect(against=self.against, paired=False, p_holm=found.p, **asdict(found))

    def _scores_table(self, name: str) -> Floats:
        if name not in self._tables:
            self._tables[name] = self.numbers.means(name, [number for number, _ in self.all])
        return self._tables[name]

    def _paired(self, name: str, index: int) -> Effect | None:
        """The paired comparison, if at least half of the group's prompts have a partner."""
        if not self.parallel:
            return None
        table = self._scores_table(name)
        if self.reference is not None:
            base = next(i for i, (number, _) in enumerate(self.all) if number == self.reference)
            gaps, tested = table[:, index] - table[:, base], None
        else:
            gaps, tested = above_others(table, index), compare.within_ranks(table, index)
        known = np.isfinite(gaps)
        places = self.places[self.all[index][0]]
        units = np.count_nonzero(self.table[:, index] >= 0) + len(self._without_id(places))
        if known.sum() < max(FEWEST, units / 2):
            return None
        found = compare.paired(gaps[known], None if tested is None else tested[known])
        return Effect(against=self.against, paired=True, p_holm=found.p, **asdict(found))

    def _baselines(self, index: int, places: Indices, others: Indices, pair: bool) -> list[Baseline]:
        found = []
        for name in BASELINES:
            values = self.numbers.values[name]
            if np.isfinite(values[places]).all() and np.isfinite(values[others]).all():
                effect = (self._paired(name, index) if pair else None) or self._unpaired(name, index, others)
                median = float(np.median(values[places]))
                found.append(Baseline(name, median, effect.delta, effect.delta_low, effect.delta_high))
        return found

    def _adjusted(self, places: Indices, others: Indices) -> Adjusted:
        places, others = _part(places), _part(others)
        values = self.numbers.values
        controls = {name: (values[name][places], values[name][others]) for name in CONTROLS}
        return stats.adjusted_delta(values["score"][places], values["score"][others], controls)

    def _texts(self, number: int) -> Iterator[tuple[str, float]]:
        sql = "SELECT p.prompt, p.score FROM prompts p JOIN members m ON m.row = p.row WHERE m.group_id = ?"
        return self.numbers.store.query(f"{sql} AND p.score IS NOT NULL", (number,))

    def _weight(self, number: int, value: str) -> float:
        given = weight_of(self.options.weights, self.column, value)
        if given is not None or not self.options.weight_column:
            return 1.0 if given is None else given
        sql = "SELECT p.columns FROM prompts p JOIN members m ON m.row = p.row WHERE m.group_id = ?"
        total, count = 0.0, 0
        for (text,) in self.numbers.store.query(sql, (number,)):
            try:
                total += max(0.0, float(json.loads(text).get(self.options.weight_column, "")))
                count += 1
            except ValueError:
                continue
        return total / count if count else 1.0


def _part(values: Array) -> Array:
    """All values, or a fixed random part of too many."""
    if len(values) <= MOST_COMPARED:
        return values
    return np.random.default_rng(0).choice(values, MOST_COMPARED, replace=False)  # type: ignore[return-value]


def _blocked(p_values: Floats, alpha: float) -> tuple[float | None, float | None, float | None]:
    if len(p_values) == 0 or not np.isfinite(p_values).all():
        return None, None, None
    return stats.exact_share(int((p_values <= alpha).sum()), len(p_values))


def _facts(values: dict[str, Floats]) -> TextFacts:
    def middle(name: str) -> float | None:
        known = values[name][np.isfinite(values[name])]
        return float(np.median(known)) if len(known) else None

    cut = values["truncated"][np.isfinite(values["truncated"])]
    return TextFacts(
        words=middle("words") or 0.0,
        tokens=middle("tokens"),
        tokens_per_word=middle("tokens_per_word"),
        truncated=float(cut.mean()) if len(cut) else None,
        unknown=middle("unknown"),
        shared_english=middle("shared_english"),
    )


SHOWN = 10
_SHRINK = 2.0  # this many neutral prompts are added: a word seen once counts a third of its effect
_PROMPT = "p.row, p.line, p.id, p.prompt, p.score, p.p_value, p.response"
_EXAMPLE = 120


def extremes(store: Store, group: int | None, most: int = SHOWN) -> tuple[tuple[PromptScore, ...], ...]:
    """The prompts with the highest and with the lowest scores, of one group or of all."""
    inside = "" if group is None else "JOIN members m ON m.row = p.row AND m.group_id = ?"
    values: tuple[Any, ...] = (most,) if group is None else (group, most)

    def ordered(direction: str) -> tuple[PromptScore, ...]:
        sql = f"SELECT {_PROMPT} FROM prompts p {inside} WHERE p.score IS NOT NULL ORDER BY p.score {direction}, p.row"
        return tuple(PromptScore(*found) for found in store.query(f"{sql} LIMIT ?", values))

    return ordered("DESC"), ordered("ASC")


def raising_words(prompts: Iterable[tuple[str, float]], fewest: int = 2, most: int = SHOWN) -> tuple[Cause, ...]:
    """Words whose prompts score highest above the group's other prompts.

    Args:
        prompts: text and score of the group's prompts.
        fewest: a word must be in at least this many prompts.
    """
    seen: dict[str, list[Any]] = {}
    count, total = 0, 0.0
    for text, score in prompts:
        count, total = count + 1, total + score
        for word in set(words(text)):
            if len(word) > 1 or not word.isascii():
                entry = seen.setdefault(word, [0, 0.0, text[:_EXAMPLE], score])
                entry[0] += 1
                entry[1] += score
                if score > entry[3]:
                    entry[2:] = [text[:_EXAMPLE], score]
    causes = []
    for word, (n, points, example, _) in seen.items():
        if fewest <= n < count:
            lift = (points / n - (total - points) / (count - n)) * n / (n + _SHRINK)
            if lift > 0:
                causes.append(Cause(word, n, lift, example))
    return tuple(sorted(causes, key=lambda cause: (-cause.lift, cause.text))[:most])


def lacking_concepts(
    numbers: Numbers, table: Indices, scores: Floats, column: int, first: int, most: int = SHOWN
) -> tuple[Cause, ...]:
    """Parallel prompts whose score in this group is highest above their median score in the others.

    Args:
        table: indices of the prompts, [ids, groups]; `scores` has the same shape, with NaN for a missing prompt.
        column: the group; `first`: the group whose prompts name the concepts.
    """
    gaps = np.nan_to_num(above_others(scores, column), nan=-np.inf)
    top = [int(i) for i in np.argsort(-gaps, kind="stable")[:most] if gaps[i] > 0]
    causes = []
    for index in top:
        own = _prompt(numbers, int(table[index, column]))
        place = int(table[index, first])
        name = _prompt(numbers, place) if place >= 0 else own
        causes.append(Cause(name, 1, float(gaps[index]) / (1 + _SHRINK), own))
    return tuple(causes)


def above_others(scores: Floats, column: int) -> Floats:
    """How much higher each prompt scores in a group than its median in the other groups, NaN where one side lacks it, [ids]."""
    others = np.delete(scores, column, axis=1)
    usable = np.isfinite(others).any(axis=1)
    gaps = np.full(len(scores), np.nan)
    gaps[usable] = scores[usable, column] - np.nanmedian(others[usable], axis=1)
    return gaps


def _prompt(numbers: Numbers, place: int) -> str:
    (text,) = next(numbers.store.query("SELECT prompt FROM prompts WHERE row = ?", (int(numbers.rows[place]),)))
    return str(text)[:_EXAMPLE]
