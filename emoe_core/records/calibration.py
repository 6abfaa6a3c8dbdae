"""Calibration: reference scores that give a raw score a unit.

The conformal p-value of a score s against n reference scores is p = (1 + #{j : s_j >= s}) / (n + 1). If the prompt is
exchangeable with the reference prompts, P(p <= alpha) <= alpha for every n and every model (Vovk et al., "Algorithmic
Learning in a Random World", 2005, proposition 2.8). Against the reference prompts of one group alone, it holds for
prompts of that group (the label-conditional, "Mondrian" form, section 4.5 there).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import EMoEError
from ..io.files import read_regular, write_whole
from ..io.json_text import parse
from .message import Code, Message
from .settings import Settings


def smallest_alpha(count: int) -> float:
    """The smallest alpha that `count` prompts can keep, 1 / (count + 1), rounded up to the Gate's four decimals, because a
    number that is shown must also work when it is typed in."""
    return -(-10_000 // (count + 1)) / 10_000


@dataclass(frozen=True)
class Part:
    """Scores that a new one is compared with: all of a calibration, or those of one group.

    Attributes:
        name: its name in messages.
        scores: one score per reference prompt.
        bad: for each prompt whether the models draw it badly; empty when nobody said.
    """

    name: str
    scores: tuple[float, ...]
    bad: tuple[bool, ...] = ()

    @property
    def good_scores(self) -> tuple[float, ...]:
        """Scores of the prompts that are not marked as bad, with which a new prompt is compared."""
        if not self.bad:
            return self.scores
        return tuple(score for score, is_bad in zip(self.scores, self.bad, strict=True) if not is_bad)

    def p_value(self, score: float) -> float:
        """Conformal p-value against the good prompts, in (0, 1]. Small: less certain than nearly all of them."""
        good = self.good_scores
        return (1 + sum(other >= score for other in good)) / (len(good) + 1)

    def percentile(self, score: float) -> float | None:
        """Share of the good prompts with a lower score, ties counted half, in [0, 100]; None when none is good."""
        good = self.good_scores
        if not good:
            return None
        below = sum(other < score for other in good)
        equal = sum(other == score for other in good)
        return 100.0 * (below + 0.5 * equal) / len(good)


#: Version 2 added `groups`. A calibration without groups is written as version 1, which older node packs read too.
CALIBRATION_SCHEMA = 2
_LONGEST_NAME = 1000


@dataclass(frozen=True)
class Calibration:
    """Scores of reference prompts under fixed settings.

    Attributes:
        name: what the user calls it.
        settings: everything the scores depend on.
        scores: one score per reference prompt.
        prompts: the prompts, in the same order; may be empty.
        bad: for each prompt whether the models draw it badly; empty when all are good.
        reference: one sentence that describes the reference prompts.
        groups: for each column of labels, such as `language`, one label per prompt; "" for none.
        made_with: the pack's release, for people only. `settings.version` decides whether scores are comparable; a release
            that leaves the maths alone does not change it.
    """

    name: str
    settings: Settings
    scores: tuple[float, ...]
    prompts: tuple[str, ...] = ()
    reference: str = ""
    bad: tuple[bool, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    made_with: str = field(default=f"emoe {__version__}", compare=False)

    def __post_init__(self) -> None:
        if len(self.name) > _LONGEST_NAME:
            raise EMoEError(
                f"A calibration's name has {len(self.name)} letters; give it one of at most {_LONGEST_NAME}."
            )
        if not self.scores:
            raise EMoEError(f"The calibration '{self.name}' has no scores; make it from at least one prompt.")
        if not all(math.isfinite(score) for score in self.scores):
            raise EMoEError(f"The calibration '{self.name}' has a score that is not a finite number; make it again.")
        if self.prompts and len(self.prompts) != len(self.scores):
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.prompts)} prompts for {len(self.scores)} scores."
            )
        if self.bad and len(self.bad) != len(self.scores):
            raise EMoEError(
                f"The calibration '{self.name}' has {len(self.bad)} marks for {len(self.scores)} scores; make it again."
            )
        for column, labels in self.groups.items():
            if len(labels) != len(self.scores):
                raise EMoEError(
                    f"The calibration '{self.name}' has {len(labels)} labels of '{column}' for {len(self.scores)} scores; "
                    "make it again."
                )
        if not self.good_scores:
            raise EMoEError(f"The calibration '{self.name}' has only bad prompts; add some that your models draw well.")

    @property
    def whole(self) -> Part:
        """All reference prompts, whatever their group."""
        return Part(self.name, self.scores, self.bad)

    @property
    def good_scores(self) -> tuple[float, ...]:
        """Scores of the prompts that are not marked as bad."""
        return self.whole.good_scores

    def part(self, column: str, label: str) -> Part:
        """The reference prompts with a label."""
        chosen = [i for i, other in enumerate(self.groups[column]) if other == label]
        return Part(
            f"{self.name}, {column}={label}",
            tuple(self.scores[i] for i in chosen),
            tuple(self.bad[i] for i in chosen) if self.bad else (),
        )

    def find_group(self, text: str) -> tuple[str, str] | None:
        """Column and label of a group given as `label` or `column=label`; None when no reference prompt has it.

        Raises:
            EMoEError: several columns have the label, so it is unclear which is meant.
        """
        column, equals, label = (part.strip() for part in text.partition("="))
        if equals and column in self.groups:
            return (column, label) if label and label in self.groups[column] else None
        label = text.strip()
        found = [name for name, labels in self.groups.items() if label and label in labels]
        if len(found) > 1:
            raise EMoEError(
                f"The group '{label}' is in the columns {' and '.join(found)} of the calibration '{self.name}'; "
                f"write {found[0]}={label}."
            )
        return (found[0], label) if found else None

    def line(self) -> str:
        """One sentence for a person."""
        return str(self.message())

    def message(self) -> Message:
        """The same as a message."""
        count, bad = len(self.scores), sum(self.bad)
        parts = [Message.of(Code.PROMPTS_BAD, count=count, bad=bad) if bad else Message.of(Code.PROMPTS, count=count)]
        for column, labels in self.groups.items():
            parts.append(Message.of(Code.GROUPS, count=len({*labels} - {""}), column=column))
        alpha = smallest_alpha(len(self.good_scores))
        low, high = min(self.scores), max(self.scores)
        return Message.of(Code.CALIBRATION, name=self.name, parts=parts, low=low, high=high, alpha=alpha)

    def p_value(self, score: float) -> float:
        """Conformal p-value against all good prompts, in (0, 1]."""
        return self.whole.p_value(score)

    def percentile(self, score: float) -> float:
        """Share of all good prompts with a lower score, ties counted half, in [0, 100]."""
        return self.whole.percentile(score) or 0.0

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the content as it is stored."""
        return str(self.as_dict()["digest"])

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, with a digest of the content that `from_dict` checks."""
        body = {
            "emoe_calibration": CALIBRATION_SCHEMA if self.groups else 1,
            "name": self.name,
            "reference": self.reference,
            "settings": asdict(self.settings),
            "scores": list(self.scores),
            "prompts": list(self.prompts),
            "bad": list(self.bad),
        }
        if self.made_with:
            body["made_with"] = self.made_with
        if self.groups:
            body["groups"] = {column: list(labels) for column, labels in self.groups.items()}
        return {**body, "digest": _digest(body)}

    @classmethod
    def from_dict(cls, data: Any, where: str = "this file") -> "Calibration":
        """A calibration from JSON; an `EMoEError` when it is no calibration, too new, damaged or edited."""
        if not isinstance(data, dict) or "emoe_calibration" not in data:
            raise EMoEError(f"{where} is not an EMoE calibration; choose a file that Save Calibration wrote.")
        version = data["emoe_calibration"]
        if isinstance(version, bool) or version not in range(1, CALIBRATION_SCHEMA + 1):
            shown = version if isinstance(version, (str, int, float)) and len(str(version)) < 10 else "?"
            raise EMoEError(
                f"{where} is a calibration of version {shown}, and this node pack reads versions 1 to "
                f"{CALIBRATION_SCHEMA}; update the node pack or make the calibration again."
            )
        body = {key: value for key, value in data.items() if key != "digest"}
        try:
            changed = data.get("digest") != _digest(body)
        except RecursionError as error:
            raise EMoEError(
                f"{where} is a damaged calibration (nested too deeply); make the calibration again."
            ) from error
        if changed:
            raise EMoEError(
                f"{where} was changed after it was saved (its digest does not fit); make the calibration again."
            )
        try:
            scores, prompts, bad = (_typed(data[key], kind) for key, kind in _LISTS)
            groups = {column: _typed(labels, (str,)) for column, labels in data.get("groups", {}).items()}
            settings = Settings.from_dict(data["settings"])
            name, reference, made_with = _typed([data["name"], data["reference"], data.get("made_with", "")], (str,))
            return cls(name, settings, tuple(map(float, scores)), prompts, reference, bad, groups, made_with)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise EMoEError(f"{where} is a damaged calibration ({error}); make the calibration again.") from error

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Reads a calibration file; an `EMoEError` when it is missing or not whole."""
        where = f"'{Path(path).name}'"
        try:
            data = parse(read_regular(Path(path)), _once)
        except OSError as error:
            raise EMoEError(
                f"The calibration {where} cannot be read ({error.strerror}); check that it exists."
            ) from error
        except _Twice as error:
            raise EMoEError(
                f"The calibration {where} has a field twice, so what it says is not clear; make it again."
            ) from error
        except ValueError as error:
            raise EMoEError(f"The calibration {where} is not whole JSON; it is damaged, make it again.") from error
        return cls.from_dict(data, where)

    def is_kept_in(self, path: str | Path) -> bool:
        """Whether a file holds this very calibration; no where there is none, or where it cannot be read."""
        try:
            return Calibration.load(path) == self
        except EMoEError:
            return False

    def save(self, path: str | Path) -> None:
        """Writes the calibration so that a reader never sees half a file."""
        write_whole(Path(path), json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n")


class _Twice(ValueError):
    """A JSON object has a name twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: readers differ in which of two values they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


_LISTS: tuple[tuple[str, tuple[type, ...]], ...] = (("scores", (float, int)), ("prompts", (str,)), ("bad", (bool,)))


def _typed(values: Any, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The list as a tuple; a TypeError when something in it is of another kind."""
    if not isinstance(values, list):  # a text is a list of letters too
        raise TypeError(f"a {type(values).__name__} is not what belongs there")
    for value in values:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError(f"a {type(value).__name__} is not what belongs there")
    return tuple(values)


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A prompt from JSON may hold a lone surrogate.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
