"""What a set of experts costs per prompt on this machine, and what other ways of scoring would save.

Seconds are said where they were measured; all else is said as a share of the network passes or of the bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EMoEError
from ..io.console import size_text
from ..records.took import between, counts, in_words
from .presets import NOISE_PRED, PRESETS, resolve_tap
from .price import Found, Record, planned
from .stages import halves, has_halves

#: What is counted where nothing was measured: the node's own default.
SAMPLES = 2


@dataclass(frozen=True)
class Held:
    """One expert's network in memory: its numbers and their bytes."""

    values: int
    bytes: int


@dataclass(frozen=True)
class Saving:
    """Another way of scoring.

    Attributes:
        what: the way, in words.
        passes, bytes: the share that it saves; None where it changes nothing there.
        seconds: what it saves per prompt, from measured seconds; None where that was not measured.
        line: all of it, for a person.
    """

    what: str
    passes: float | None
    bytes: float | None
    seconds: float | None
    line: str


@dataclass(frozen=True)
class Price:
    """What a score of one prompt costs.

    Attributes:
        preset: what was last measured, or else the set's own preset.
        noise_samples, passes: its noise samples and passes through a network, the empty prompt's not counted.
        seconds: what was measured; None where nothing was.
        first: the first score after a start, which loads the experts; None where that was not measured.
        each: seconds of one pass of each expert, in their order; () without a measurement.
        shape, device: the latents' shape and the device that it was measured with; () and "" without a measurement.
    """

    preset: str
    noise_samples: int
    passes: int
    seconds: float | None
    first: float | None
    each: tuple[float, ...]
    shape: tuple[int, ...]
    device: str
    savings: tuple[Saving, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"savings": [asdict(one) for one in self.savings]}

    def lines(self) -> list[str]:
        """For a person."""
        how = f"preset {self.preset} with {_samples(self.noise_samples)}, {self.passes} network passes"
        if self.seconds is None:
            first = f"price: {how}; nothing was measured with this set yet: score a prompt to see seconds"
        else:
            size = "x".join(map(str, self.shape[1:]))
            each = between(min(self.each), max(self.each))
            first = f"price: {in_words(self.seconds)} per prompt on {self.device}, latents of {size} ({how} of {each})"
        loading = [] if self.first is None else [f"- the first score after a start: {in_words(self.first)}"]
        return [first, *loading, *(f"- {one.line}" for one in self.savings)]


def price_of(
    identities: Sequence[str],
    taps: Sequence[str],
    preset: str | None,
    found: Mapping[str, Found],
    held: Sequence[Held],
    slim_bits: int,
) -> Price:
    """The price of a set.

    Args:
        identities: of the experts, in order.
        taps: the taps that every expert has.
        preset: the one that suits the set; None for one_model.
        found: what was measured of this set, by tap, the latest last.
        held: each network that is in memory, once; empty where that is unknown.
        slim_bits: per number of a slim expert.
    """
    own = _tap(preset or "one_model", taps)
    latest = [one for tap, one in found.items() if tap == own] or list(found.values())
    kind, record = latest[-1] if latest else (None, None)
    chosen = _named(kind.tap, record.estimator, taps) if kind and record else preset or "one_model"
    samples = record.noise_samples if record else SAMPLES
    passes = len(identities) * samples
    seconds = None if record is None else _seconds(record, identities, samples)
    ways = [
        *_other_presets(chosen, identities, taps, samples, seconds, found),
        *_fewer(identities, samples, record),
        *_bytes(held, slim_bits),
    ]
    shape, device = (kind.shape, kind.device) if kind else ((), "")
    first: float | None = None
    each: tuple[float, ...] = ()
    if record is not None and seconds is not None:
        inside = record.inside(planned(identities, samples))
        first = None if record.first is None or inside is None else inside + record.first
        each = tuple(record.units[who] for one in identities for who in planned([one], 1))
    return Price(chosen, samples, passes, seconds, first, each, shape, device, tuple(ways))


def _named(tap: str, estimator: str, taps: Sequence[str]) -> str:
    """The preset of a measurement; of a combination that is no preset, its names."""
    for name, preset in PRESETS.items():
        if preset.estimator == estimator and _tap(name, taps) == tap:
            return name
    return f"custom ({estimator} at {tap})"


def _tap(preset: str, taps: Sequence[str]) -> str | None:
    try:
        return resolve_tap(PRESETS[preset].tap, taps)
    except EMoEError:
        return None


def _seconds(record: Record, identities: Sequence[str], samples: int) -> float | None:
    """A run after the first one; while there was none, the time inside the networks alone, which is the least."""
    inside = record.inside(planned(identities, samples))
    return None if inside is None else inside + (record.later or 0.0)


def _other_presets(
    chosen: str,
    identities: Sequence[str],
    taps: Sequence[str],
    samples: int,
    seconds: float | None,
    found: Mapping[str, Found],
) -> list[Saving]:
    """The presets that stop at another place of the network, each place once; those of the same place cost the same."""
    ways: dict[str, list[str]] = {}
    for name in PRESETS:
        tap = _tap(name, taps)
        if tap is not None and name != "one_model":
            ways.setdefault(tap, []).append(name)
    here = _tap(chosen, taps) if chosen in PRESETS else None
    made = []
    for tap, names in ways.items():
        others = [name for name in names if name != chosen]
        if not others:
            continue
        other = " or ".join(others)
        preset = f"preset {other}"
        if tap == here:
            made.append(Saving(other, 0.0, None, 0.0, f"{preset}: costs the same"))
            continue
        known = _seconds(found[tap][1], identities, samples) if tap in found else None
        if known is not None and seconds:
            less = seconds - known
            word = f"{_share(less / seconds)} less" if less >= 0 else f"{_share(-less / seconds)} more"
            line = f"{preset}: {in_words(known)} per prompt, {word} (measured)"
            made.append(Saving(other, None, None, less, line))
        elif tap != NOISE_PRED:
            line = f"{preset}: passes end at the middle of the network, which costs less (not measured yet)"
            made.append(Saving(other, None, None, None, line))
        else:
            line = f"{preset}: passes go through the whole network, which costs more (not measured yet)"
            made.append(Saving(other, None, None, None, line))
    return made


def _fewer(identities: Sequence[str], samples: int, record: Record | None) -> list[Saving]:
    """Fewer passes of the same kind."""
    count, ways = len(identities), []
    whole = count * samples

    def way(what: str, low: dict[str, int], high: dict[str, int] | None = None, note: str = "") -> None:
        """`low` are passes that are left out for certain, `high` those that are left out at most."""
        spared = [None if record is None else record.inside(one) for one in (low, high or low)]
        shares = [sum(one.values()) / whole for one in (low, high or low)]
        told = _share(shares[0]) if high is None else f"{_share(shares[0])} to {_share(shares[1])}"
        seconds = "" if not spared[0] else f", about {in_words(spared[0])}{' or more' if high else ''}"
        ways.append(Saving(what, shares[0], None, spared[0], f"{what}: saves {told} of the passes{seconds}{note}"))

    if samples > 1:
        way("one noise sample less", planned(identities, 1))
    if has_halves(count, samples):
        middle, early = halves(count, samples)
        first, second = planned(identities[:middle], early), planned(identities[middle:], samples - early)
        everything = planned(identities, samples)
        after_one = {who: units - first.get(who, 0) for who, units in everything.items()}
        after_two = {who: units - second.get(who, 0) for who, units in after_one.items()}
        way("two stages (a calibration made with staged)", after_two, after_one)
    if count > 1:
        way("preset one_model with the first expert alone", planned(identities[1:], samples), note="; no ensemble")
    return ways


def _bytes(held: Sequence[Held], slim_bits: int) -> list[Saving]:
    """Lighter forms of the weights. They change what is held and moved, and what a call takes was not measured."""
    total, ways = sum(one.bytes for one in held), []
    if total == 0:
        return []
    slim = held[0].bytes + sum(one.values * slim_bits / 8 for one in held[1:])
    eight = float(sum(one.values for one in held))
    for what, size, note in (
        ("slim (Load Experts)", slim, "loading takes longer"),
        ("files in 8 bits", eight, "a call is faster only where the card computes in 8 bits"),
    ):
        if size < 0.95 * total:
            share = 1 - size / total
            line = f"{what}: saves {_share(share)} of the weights' {size_text(total)}; {note} (not measured)"
            ways.append(Saving(what, None, share, None, line))
    return ways


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _samples(count: int) -> str:
    return counts(count, "noise sample")
