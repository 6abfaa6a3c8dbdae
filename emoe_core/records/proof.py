"""What came out when a calibration was held against the models at hand."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .message import Code, Message


@dataclass(frozen=True)
class Proof:
    """What came out when some reference prompts were scored again.

    Attributes:
        calibration: digest of the calibration's content.
        name: its name.
        prompts: how many prompts were scored; 0 where it could not be tried.
        difference: root mean square of the differences of the scores.
        largest: the largest of them.
        allowed: what `difference` may be.
        why_not: where it could not be tried, why, as half a sentence; else "".
    """

    calibration: str
    name: str
    prompts: int = 0
    difference: float = math.inf
    largest: float = math.inf
    allowed: float = 0.0
    why_not: str = ""

    @property
    def holds(self) -> bool:
        """Whether the calibration may be used."""
        return self.prompts > 0 and self.difference <= self.allowed

    def line(self) -> str:
        """What to tell a person, as a sentence."""
        if self.why_not:
            return f"The calibration '{self.name}' could not be proved: {self.why_not}."
        if self.holds:
            return str(self.proved())
        return (
            f"The calibration '{self.name}' was made with other models: on {self.prompts} of its prompts the scores differ "
            f"by {self.difference:.2g} (largest {self.largest:.2g}), and {self.allowed:.2g} is allowed."
        )

    def proved(self) -> Message:
        """What to tell of a proof that holds, as a message that is kept."""
        return Message.of(Code.PROVED, name=self.name, count=self.prompts, largest=self.largest)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        finite = {key: value if value != math.inf else None for key, value in asdict(self).items()}
        return {**finite, "holds": self.holds}
