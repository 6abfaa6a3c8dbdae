"""What a score took, and what the next one is expected to take."""

from dataclasses import asdict, dataclass
from typing import Any

from ..io.console import duration


@dataclass(frozen=True)
class Share:
    """What one expert took of it.

    Attributes:
        expert: the beginning of its identity; copies count together.
        calls, inside, around: as in `Took`.
    """

    expert: str
    calls: int
    inside: float
    around: float


@dataclass(frozen=True)
class Took:
    """What it took to score one prompt, or prompts that were scored together. Proofs of calibrations are not counted.

    Attributes:
        seconds: all of it.
        prompts: how many were scored together.
        experts: how many were asked.
        calls: network calls; several prompts and noise samples may share one.
        empty: calls for the empty prompt, which is kept where it can be.
        inside: seconds inside the networks.
        around: seconds in which the host read, loaded and prepared models for them.
        expected: what the same is expected to take next time, at least and at most; None where nothing was measured.
        each: the experts' shares.
    """

    seconds: float
    prompts: int
    experts: int
    calls: int
    empty: int
    inside: float
    around: float
    expected: tuple[float, float] | None = None
    each: tuple[Share, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        expected = None if self.expected is None else [round(one, 4) for one in self.expected]
        return _rounded(asdict(self)) | {"expected": expected, "each": [_rounded(asdict(one)) for one in self.each]}

    def line(self) -> str:
        """For a person."""
        counted = f"{counts(self.experts, 'expert')}, {counts(self.calls, 'call')}"
        if self.empty:
            counted += f", {self.empty} of them for the empty prompt"
        each, whole = (
            (" per prompt", f"{in_words(self.seconds)} for {self.prompts}; ") if self.prompts > 1 else ("", "")
        )
        told = f"took {self.brief()}{each} ({whole}{counted})"
        return told if self.expected is None else f"{told}; expected next: {' to '.join(self.next())}{each}"

    def brief(self) -> str:
        """The seconds per prompt."""
        return in_words(self.seconds / self.prompts)

    def next(self) -> list[str]:
        """The seconds per prompt that are expected next: none where nothing was measured, one, or both ends of a range."""
        return [] if self.expected is None else _ends(*(one / self.prompts for one in self.expected))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def in_words(seconds: float) -> str:
    """Seconds for a person, in two digits."""
    if seconds >= 90:
        return duration(seconds)
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"


def between(low: float, high: float) -> str:
    """A range for a person; one number where both read alike."""
    return " to ".join(_ends(low, high))


def _ends(low: float, high: float) -> list[str]:
    return list(dict.fromkeys((in_words(low), in_words(high))))


def counts(number: int, what: str) -> str:
    """A number of things."""
    return f"{number} {what}{'' if number == 1 else 's'}"
