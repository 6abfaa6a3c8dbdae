"""Two controls that every set of experts must pass before its score can mean anything.

1. Experts must agree more on one prompt than on two different ones. Where expert A's answer to prompt i is as far from
   expert B's answer to i as from B's answer to another prompt j, the score measures the experts' styles and not the prompt.
2. The same model in two precisions must score far lower than the set does: what is left there is rounding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..stats.evaluation import auroc
from .presets import NOISE_PRED

if TYPE_CHECKING:
    from ..experts.sets import ExpertSet
    from .collect import Taken

#: How often a matched pair must be the nearer one.
MATCHED_AT_LEAST = 0.9
#: The share of the set's score that rounding may make.
ROUNDING_AT_MOST = 0.1


@dataclass(frozen=True)
class Matching:
    """The first control.

    Attributes:
        matched, mismatched: median squared distance of two experts' answers over their mean square, on the same prompt and on
            different ones.
        auroc: P(mismatched > matched), ties counted half.
    """

    prompts: int
    matched: float
    mismatched: float
    auroc: float

    @property
    def passed(self) -> bool:
        """Whether the set measures the prompt."""
        return self.auroc >= MATCHED_AT_LEAST


@dataclass(frozen=True)
class Rounding:
    """The second control.

    Attributes:
        dtype, other: the precision of the first expert and the one it was compared with.
        shares: by reading, the median score of the pair over that of the set.
    """

    dtype: str
    other: str
    shares: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether every reading of the set is well above rounding."""
        return all(share <= ROUNDING_AT_MOST for share in self.shares.values())


def matching(taken: "Taken", experts: "ExpertSet") -> Matching:
    """The first control, from the latents of several prompts and of the empty prompt at the noise prediction.

    What the prompt changes from place to place is compared (t of `estimators.centred_layout`), on the first noise sample.
    """
    from . import estimators as est  # here, so that what was measured can be shown without torch
    from .collect import measured_of

    changes = []
    for latents in taken.prompts:
        measured = measured_of(latents[NOISE_PRED], taken.empty[NOISE_PRED], experts, NOISE_PRED)
        changes.append(est.levelled_shift(measured)[:, 0, 0].double().numpy())  # [M, D]
    t = np.stack(changes)  # [P, M, D]
    matched, mismatched = [], []
    for i, j in permutations(range(t.shape[1]), 2):
        size = (np.square(t[:, i]).mean(axis=1)[:, None] + np.square(t[:, j]).mean(axis=1)[None]) / 2
        apart = np.square(t[:, i][:, None] - t[:, j][None]).mean(axis=2) / np.maximum(size, np.finfo(np.float64).tiny)
        matched += list(np.diag(apart))
        mismatched += list(apart[~np.eye(len(apart), dtype=bool)])
    return Matching(len(t), float(np.median(matched)), float(np.median(mismatched)), auroc(matched, mismatched))


def rounding(
    dtype: str, other: str, whole: Sequence[Mapping[str, float]], pair: Sequence[Mapping[str, float]]
) -> Rounding:
    """The second control, from the readings of the set and of one expert in two precisions on the same prompts."""
    names = [name for name in pair[0] if name in whole[0]] if pair and whole else []
    shares = {}
    for name in names:
        of_set = float(np.median([found[name] for found in whole]))
        shares[name] = float(np.median([found[name] for found in pair])) / of_set if of_set > 0 else 1.0
    return Rounding(dtype, other, shares)


def as_dict(match: Matching | None, round_off: Rounding | None) -> dict[str, Any]:
    """Both, ready for JSON."""
    return {
        "matching": None if match is None else {**asdict(match), "passed": match.passed},
        "rounding": None
        if round_off is None
        else {**asdict(round_off), "shares": dict(round_off.shares), "passed": round_off.passed},
    }
