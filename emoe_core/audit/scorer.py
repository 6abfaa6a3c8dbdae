"""What an audit needs from a scorer: many prompts in, one row of numbers per prompt out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..records.message import Message


@dataclass(frozen=True)
class ScoredRow:
    """What is known about one prompt. Every number but the score is None where the scorer cannot tell it.

    Attributes:
        score: higher means less certain; None where the prompt could not be scored, and `error` gives the reason.
        stderr, epistemic, seed_variance, response, guidance: see `emoe_core.records.report.ItemScore`.
        p_value: conformal p-value under the scorer's calibration.
        tokens: tokens of the prompt in the first expert's text encoder, without start, end and padding.
        truncated: whether the prompt is longer than the text encoder's window: it is cut there, or continues in a second
            window, which the models were not trained on.
        unknown: share of the prompt's words that are not a single token of the text encoder, in [0, 1].
    """

    score: float | None
    stderr: float | None = None
    epistemic: float | None = None
    seed_variance: float | None = None
    response: float | None = None
    guidance: float | None = None
    p_value: float | None = None
    tokens: int | None = None
    truncated: bool | None = None
    unknown: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class About:
    """What the scores depend on, as it is stored with the audit.

    Attributes:
        settings: flat and ready for JSON; two audits with equal settings can be compared, and continued.
        experts: for each expert its name, identity and file.
        calibration: its description, None without one.
        messages: what a user should know about the experts.
    """

    settings: dict[str, Any]
    experts: tuple[dict[str, Any], ...] = ()
    calibration: Message | None = None
    messages: tuple[Message, ...] = ()


class Scorer(Protocol):
    """Scores prompts: with experts in this process, or through a server."""

    @property
    def batch_size(self) -> int:
        """How many prompts it prefers per call."""

    def about(self) -> About:
        """The settings; asked before the first prompt, so that an audit with other settings is refused at once."""

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        """One row per prompt, in order. A prompt that cannot be scored gives a row with an error, not an exception.

        Raises:
            EMoEError: nothing can be scored (no experts, server gone, bad settings).
        """
