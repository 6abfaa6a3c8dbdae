"""The result of testing a calibration on the models at hand."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from .message import Code, Message


@dataclass(frozen=True)
class Proof:
    """The result of scoring some reference prompts again.

    Attributes:
        calibration: digest of the calibration's content.
        name: the calibration's name.
        prompts: how many prompts were scored; 0 where the test could not run.
        difference: root mean square of the differences of the scores.
        largest: the largest difference.
        allowed: the highest `difference` that passes.
        why_not: why the test could not run, as half a sentence; else "".
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
        """The result as a sentence for a person."""
        if self.why_not:
            return f"The calibration '{self.name}' could not be proved: {self.why_not}."
        if self.holds:
            return str(self.proved())
        return (
            f"The calibration '{self.name}' was made with other models: on {self.prompts} of its prompts the scores differ "
            f"by {self.difference:.2g} (largest {self.largest:.2g}), and {self.allowed:.2g} is allowed."
        )

    def proved(self) -> Message:
        """The message about a passed proof, which is kept."""
        return Message.of(Code.PROVED, name=self.name, count=self.prompts, largest=self.largest)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        finite = {key: value if value != math.inf else None for key, value in asdict(self).items()}
        return {**finite, "holds": self.holds}
