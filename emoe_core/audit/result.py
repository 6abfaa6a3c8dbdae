"""The result of an audit: plain dataclasses, stored as JSON in the audit's own SQLite file."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.json_text import parse
from ..records.message import Message, dump_all, dump_one, load_all, load_one
from ..stats.compare import Comparison

RESULT_SCHEMA = 1

#: Why there is no estimate at equal length and wording: codes and English texts; the report has its own texts.
NOTES = {
    "constant": "no property of the text varies",
    "few": "too few prompts",
    "together": "the text's properties and the group go together",
}

SHOWN = 10  # groups of a column in the summary
HIGHER, LOWER, NONE, FEW = "higher", "lower", "none", "too few"


@dataclass(frozen=True)
class Distribution:
    """A group's scores. `histogram` counts them per bin of `AuditResult.bins`."""

    n: int
    mean: float
    minimum: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    maximum: float
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Effect(Comparison):
    """How much higher a group scores than its counterpart.

    Attributes:
        against: "the other groups", or the reference as "column=value".
        paired: whether each prompt was compared with the same prompt (same id) in the other groups.
        p_holm: `p` with Holm's correction for all groups of the audit.
    """

    against: str
    paired: bool
    p_holm: float


@dataclass(frozen=True)
class Adjusted:
    """The group's Cliff's delta at equal length and wording (linear model on ridits, HC3 standard errors).

    Attributes:
        controls: the properties held equal; those that do not vary are left out.
        overlap: share of the group's prompts whose controls all lie within the range of the other prompts'.
        marks: properties that alone identify the group, so they cannot be held equal.
        note: why there is no estimate, or what is not held equal; else "".
        why: the note's code, a key of `NOTES`, or "".
    """

    delta: float | None
    low: float | None
    high: float | None
    controls: tuple[str, ...]
    overlap: float
    note: str = ""
    marks: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Baseline:
    """A score without an ensemble, compared in the same way: the group's median and delta in that score."""

    name: str
    median: float
    delta: float
    delta_low: float
    delta_high: float


@dataclass(frozen=True)
class TextFacts:
    """Properties of the prompts' text, as medians or shares in [0, 1]; None where the scorer cannot tell.

    Attributes:
        truncated: share of prompts longer than the text encoder's window.
        unknown: median share of words without a single token of their own in the text encoder.
        shared_english: median share of words that English prompts have too; None without English prompts.
    """

    words: float
    tokens: float | None
    tokens_per_word: float | None
    truncated: float | None
    unknown: float | None
    shared_english: float | None


@dataclass(frozen=True)
class PromptScore:
    """One prompt of the audit."""

    row: int
    line: int
    id: str
    prompt: str
    score: float
    p_value: float | None
    response: float | None


@dataclass(frozen=True)
class Cause:
    """A word or concept, and by how much prompts with it score higher than the group's others (shrunk towards 0).

    Attributes:
        text: the word; for a concept, the prompt with this id in the reference (or first) group.
        n: number of the group's prompts with it.
        lift: difference of mean scores, times n / (n + 2).
        example: one such prompt of the group.
    """

    text: str
    n: int
    lift: float
    example: str


@dataclass(frozen=True)
class GroupStats:
    """Everything known about one group.

    Attributes:
        n, failed: prompts scored, and prompts that could not be scored.
        blocked: share of prompts with a p-value of at most `alpha`, with an exact 95 % interval; None without calibration.
        effect: the comparison that decides `finding`: paired where there are parallel prompts, else against all others.
        unpaired: the comparison that ignores ids; equal to `effect` where that is unpaired.
        finding: "higher" (less known than the others), "lower", "none", or "too few" (prompts for a finding).
        explained: the difference may not remain at equal length and wording, so these may be all or part of the reason.
        worst, best: prompts with the highest and the lowest scores.
        words, concepts: what raises the group's score most, highest first.
        weight: the user's weight of this market, 1 without one.
    """

    column: str
    value: str
    n: int
    failed: int
    score: Distribution | None
    blocked: float | None
    blocked_low: float | None
    blocked_high: float | None
    effect: Effect | None
    unpaired: Effect | None
    adjusted: Adjusted | None
    finding: str
    explained: bool
    baselines: tuple[Baseline, ...]
    text: TextFacts | None
    worst: tuple[PromptScore, ...]
    best: tuple[PromptScore, ...]
    words: tuple[Cause, ...]
    concepts: tuple[Cause, ...]
    weight: float


@dataclass(frozen=True)
class Priority:
    """Where more training data would help first.

    Attributes:
        rank: from 1; groups that need nothing are not listed.
        need: weight times the lower end of the effect's interval (Cliff's delta), the sure part of the gap.
        share: need over the sum of all needs of the column.
        reason: one sentence.
    """

    rank: int
    column: str
    value: str
    need: float
    share: float
    weight: float
    delta: float
    delta_low: float
    reason: str


@dataclass(frozen=True)
class Confounder:
    """How a property of the text correlates with the score: Spearman's rho over all prompts, and its mean within groups."""

    name: str
    overall: float | None
    within: float | None


@dataclass(frozen=True)
class AuditResult:
    """The whole audit.

    Attributes:
        name: the prompt file's name.
        created: ISO time (UTC) of the analysis.
        settings: what the scores depend on (experts, preset, tap, noise, size, ...), and `fingerprint` over it.
        experts: for each expert its name, identity digest and file.
        prompts: number of scored rows; `failed` counts rows without a score, `bad` unreadable rows of the file.
        bins: edges of the histograms, one more than bins.
        overall: distribution of all scores.
        columns: the group columns, in the file's order.
        id_column: the column that pairs parallel prompts, or "".
        references: "column=value" of each group that the others of its column are compared with.
        calibration: its description, None without one; `blocked` was counted at `alpha`.
        groups: every group of every column, in the order of columns, highest median first.
        agreement: Spearman's rho of the score with each baseline over all prompts.
        messages: what a reader should know before trusting the numbers.
        rejected: rows that could not be read or scored, the first hundred, one sentence each.
    """

    name: str
    created: str
    settings: dict[str, Any]
    fingerprint: str
    experts: tuple[dict[str, Any], ...]
    prompts: int
    failed: int
    bad: int
    bins: tuple[float, ...]
    overall: Distribution | None
    columns: tuple[str, ...]
    id_column: str
    references: tuple[str, ...]
    calibration: Message | None
    alpha: float
    groups: tuple[GroupStats, ...]
    priorities: tuple[Priority, ...]
    confounders: tuple[Confounder, ...]
    agreement: dict[str, float | None]
    worst: tuple[PromptScore, ...]
    best: tuple[PromptScore, ...]
    messages: tuple[Message, ...]
    rejected: tuple[str, ...]
    source: str = field(default="", compare=False)
    schema: int = RESULT_SCHEMA

    @property
    def warnings(self) -> tuple[str, ...]:
        """The messages in English."""
        return tuple(map(str, self.messages))

    def of_column(self, column: str) -> tuple[GroupStats, ...]:
        """The groups of one column."""
        return tuple(group for group in self.groups if group.column == column)

    def group(self, column: str, value: str) -> GroupStats:
        """One group; an `EMoEError` when the audit has no such group."""
        for group in self.groups:
            if (group.column, group.value) == (column, value):
                return group
        raise EMoEError(f"The audit '{self.name}' has no group '{column}={value}'.")

    def lines(self) -> list[str]:
        """For a person, one sentence per line: what was scored, what was found, what to do first, and what to keep in mind."""
        found = [f"{self.prompts} prompts of '{self.name}' were scored{_left_out(self)}."]
        if self.overall is not None:
            o = self.overall
            found.append(
                f"Scores: median {o.median:.4g}, from {o.minimum:.4g} to {o.maximum:.4g}. Higher is less known."
            )
        for column in self.columns:
            groups = [group for group in self.of_column(column) if group.finding != FEW]
            higher = [group.value or "(empty)" for group in groups if group.finding == HIGHER]
            if not groups:
                found.append(f"{column}: nothing to compare.")
            elif not higher:
                found.append(f"{column}: none of {len(groups)} groups is surely less known than the others.")
            else:
                names = ", ".join(higher[:SHOWN]) + (" ..." if len(higher) > SHOWN else "")
                found.append(f"{column}: less known are {names} ({len(higher)} of {len(groups)} groups).")
        for priority in self.priorities[:3]:
            found.append(f"Data would help first: {priority.column} {priority.value}, which {priority.reason}.")
        return [*found, *self.warnings]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), **dump_one("calibration", self.calibration), **dump_all(self.messages)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "AuditResult":
        """The result from JSON; an `EMoEError` when it is damaged or of another version."""
        if data.get("schema") != RESULT_SCHEMA:
            raise EMoEError(
                f"This audit result is of version {data.get('schema')}, and this node pack reads version "
                f"{RESULT_SCHEMA}; analyse the audit again."
            )
        said = {"calibration": load_one("calibration", data), "messages": load_all(data)}
        from pydantic import TypeAdapter, ValidationError  # here, so that loading the pack does not wait for pydantic

        try:
            return TypeAdapter(cls).validate_python({**data, **said})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise EMoEError(
                f"This audit result is damaged ({where}: {first['msg']}); analyse the audit again."
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> "AuditResult":
        """The result of an audit: from its folder, its audit.sqlite or its result.json.

        Raises:
            EMoEError: nothing is there, or the audit was not finished and analysed.
        """
        from .store import Store

        path = Path(path)
        if path.is_dir():
            path = path / "audit.sqlite"
        try:
            if path.suffix == ".json":
                return cls.from_dict(parse(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            if isinstance(error, EMoEError):
                raise
            raise EMoEError(f"The audit result '{path}' cannot be read ({error}); check the path.") from error
        with Store.open(path, read_only=True) as store:
            kept = store.get("result")
        if kept is None:
            raise EMoEError(f"The audit '{path}' was not analysed yet; start the audit again to finish it.")
        return cls.from_dict(kept)


def _left_out(result: AuditResult) -> str:
    said = []
    if result.failed:
        said.append(f"{result.failed} could not be scored")
    if result.bad:
        said.append(f"{result.bad} rows could not be read")
    return f" ({', '.join(said)})" if said else ""
