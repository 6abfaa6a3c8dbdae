"""What scores take on this machine: measured on every run, kept, and told before the next one.

Nothing here has a part in a score, a calibration or the key of anything that is kept.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..io.json_text import parse
from ..records.took import Share, Took
from .presets import MOST_NOISE_SAMPLES, NOISE_PRED

#: How many prices are kept; the least recently measured goes first.
MOST = 64
_SCHEMA = 1
#: `Kind.mode` of a score by all experts on all noise samples.
ENSEMBLE = "ensemble"


@dataclass
class _Counted:
    """What one expert took of a run.

    Attributes:
        calls, units: network calls, and the pairs of prompt and noise sample in them.
        empty: calls for the empty prompt.
        again: units that the same run would ask for once more.
        inside: seconds inside the network.
        around: seconds in which the host read, loaded and prepared the model.
    """

    calls: int = 0
    units: int = 0
    empty: int = 0
    again: int = 0
    inside: float = 0.0
    around: float = 0.0


@dataclass
class Meter:
    """Counts calls and seconds while a run is made; every run has its own."""

    experts: dict[str, _Counted] = field(default_factory=dict)

    def called(self, who: str, units: int, inside: float, around: float, empty: bool, once: bool) -> None:
        """One network call of an expert; `once` if the next run will not make it."""
        share = self.experts.setdefault(_short(who), _Counted())
        share.calls += 1
        share.units += units
        share.empty += empty
        share.again += 0 if once else units
        share.inside += inside
        share.around += around

    def read(self, who: str, seconds: float) -> None:
        """An expert was read from its file."""
        self.experts.setdefault(_short(who), _Counted()).around += seconds

    def again(self) -> dict[str, int]:
        """The units of each expert that the same run would ask for once more."""
        return {who: one.again for who, one in self.experts.items() if one.units}

    def took(self, seconds: float, prompts: int, expected: tuple[float, float] | None) -> Took:
        """All of it."""
        shares = self.experts.values()
        return Took(
            seconds=seconds,
            prompts=prompts,
            experts=len(self.experts),
            calls=sum(one.calls for one in shares),
            empty=sum(one.empty for one in shares),
            inside=sum(one.inside for one in shares),
            around=sum(one.around for one in shares),
            expected=expected,
            each=tuple(Share(who, one.calls, one.inside, one.around) for who, one in self.experts.items()),
        )


@dataclass(frozen=True)
class Kind:
    """Runs of one price: what a run takes depends on this.

    Attributes:
        experts: the beginning of each expert's identity, sorted.
        tap: the last one that a pass reaches.
        shape: of the latents, the batch included.
        dtype, device: what computes, and where.
        mode: "ensemble", "staged" or "mixture".
        listed: whether many prompts are scored together.
    """

    experts: tuple[str, ...]
    tap: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    mode: str = ENSEMBLE
    listed: bool = False


def short(identities: Iterable[str]) -> tuple[str, ...]:
    """Identities as prices know them, sorted."""
    return tuple(sorted(map(_short, identities)))


@dataclass(frozen=True)
class Record:
    """The last runs of one kind.

    Attributes:
        units: seconds inside the network per prompt and noise sample, by the expert's identity.
        first: seconds beside the networks in the first run of a process, which loads the experts; None if unknown.
        later: the same of a later run; None if unknown.
        estimator, noise_samples: what the last run asked for.
    """

    units: Mapping[str, float]
    first: float | None
    later: float | None
    estimator: str
    noise_samples: int

    def inside(self, units: Mapping[str, int]) -> float | None:
        """Seconds inside the networks for so many units of each expert; None where one was never measured."""
        if not units.keys() <= self.units.keys():
            return None
        return sum(count * self.units[who] for who, count in units.items())

    def expected(self, units: Mapping[str, int], is_first: bool) -> tuple[float, float] | None:
        """What a run takes at least and at most."""
        inside = self.inside(units)
        if inside is None:
            return None
        known = self.first if is_first else self.later
        if known is not None:
            return inside + known, inside + known
        return None if is_first or self.first is None else (inside, inside + self.first)


#: What was measured of a kind.
Found = tuple[Kind, Record]


@dataclass
class Prices:
    """All that was measured, the latest last."""

    records: dict[Kind, Record] = field(default_factory=dict)
    #: Which experts this process has run, and up to which tap.
    run: set[tuple[tuple[str, ...], str]] = field(default_factory=set)

    def expected(self, kind: Kind, units: Mapping[str, int]) -> tuple[float, float] | None:
        """What a run of so many units of each expert will take, at least and at most; None where nothing says."""
        known = self.records.get(kind)
        return None if known is None else known.expected(units, self.is_first(kind))

    def is_first(self, kind: Kind) -> bool:
        """Whether this process has not yet loaded these experts as far as this kind needs them."""
        return not self.run & {(kind.experts, kind.tap), (kind.experts, NOISE_PRED)}

    def latest(self, experts: Iterable[str], device: str) -> dict[str, Found]:
        """The latest measurement of these experts for each tap, one prompt at a time, by all experts."""
        who = short(experts)
        fits = [
            (kind, record)
            for kind, record in self.records.items()
            if (kind.experts, kind.device, kind.mode, kind.listed) == (who, device, ENSEMBLE, False)
        ]
        same = [one for one in fits if one[0].shape == fits[-1][0].shape]  # seconds of two sizes cannot be compared
        return {kind.tap: (kind, record) for kind, record in same}

    def add(self, kind: Kind, meter: Meter, seconds: float, estimator: str, noise_samples: int) -> None:
        """Takes over what a run measured."""
        asked = {who: one for who, one in meter.experts.items() if one.units}
        if not asked:
            return
        before = self.records.pop(kind, None)
        beside = max(0.0, seconds - sum(one.inside for one in asked.values()))
        first, later = (None, None) if before is None else (before.first, before.later)
        if self.is_first(kind):
            first = beside
        else:
            later = beside
        self.run.add((kind.experts, kind.tap))
        units = {} if before is None else dict(before.units)
        units |= {who: one.inside / one.units for who, one in asked.items()}
        self.records[kind] = Record(units, first, later, estimator, noise_samples)
        while len(self.records) > MOST:
            del self.records[next(iter(self.records))]

    def text(self) -> str:
        """For a file."""
        records = [asdict(record) | {"kind": asdict(kind)} for kind, record in self.records.items()]
        return json.dumps({"schema": _SCHEMA, "records": records}, allow_nan=False) + "\n"

    @classmethod
    def of_text(cls, text: str) -> "Prices":
        """From a file.

        Raises:
            ValueError: it is no such file.
        """
        data = parse(text)
        if not isinstance(data, dict) or data.get("schema") != _SCHEMA or not isinstance(data.get("records"), list):
            raise ValueError("it holds no prices")
        return cls(dict(map(_read, data["records"][-MOST:])))


def planned(experts: Sequence[str], units: int) -> dict[str, int]:
    """So many units of each of these experts, by their identities; a copy counts for itself."""
    return {who: units * count for who, count in Counter(map(_short, experts)).items()}


def _short(identity: str) -> str:
    return identity[:16]


def _read(data: Any) -> Found:
    """One record of a file."""
    if not isinstance(data, dict) or data.keys() != {*(one.name for one in fields(Record)), "kind"}:
        raise ValueError("a price lacks a field")
    kind, values = data["kind"], {name: value for name, value in data.items() if name != "kind"}
    if not isinstance(kind, dict) or kind.keys() != {one.name for one in fields(Kind)}:
        raise ValueError("a price does not say what it is for")
    experts, shape = kind["experts"], kind["shape"]
    known = [one for one in (values["first"], values["later"]) if one is not None]
    if not (isinstance(values["units"], dict) and all(map(_is_seconds, [*values["units"].values(), *known]))):
        raise ValueError("a price has no seconds")
    texts = [values["estimator"], *(kind[name] for name in ("tap", "dtype", "device", "mode"))]
    lists = isinstance(experts, list) and isinstance(shape, list)
    if not lists or not all(isinstance(one, str) for one in (*texts, *experts)):
        raise ValueError("a price has no names")
    if any(type(one) is not int for one in (values["noise_samples"], *shape)) or type(kind["listed"]) is not bool:
        raise ValueError("a price has no size")
    if not 1 <= values["noise_samples"] <= MOST_NOISE_SAMPLES:
        raise ValueError("a price has no noise samples")
    return Kind(**(kind | {"experts": tuple(experts), "shape": tuple(shape)})), Record(**values)


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < 1e9
