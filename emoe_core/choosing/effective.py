"""The effective number of experts by what they answer."""

from collections.abc import Sequence

import numpy as np

from ..stats.effective import Interval, effective
from ..stats.evaluation import Floats


def effective_number(values: Floats, same: Sequence[Sequence[int]] = ()) -> Interval:
    """How many independent experts would give a score as steady as these do: see `stats.effective`.

    What all experts share has no part in it, and no prompt counts for more because it moves them more. Two experts that differ
    at all have one direction between them and count as two, however near they lie; say in `same` who only copies whom.

    Args:
        values: inner products of the experts' answers, [prompts, noise samples, experts, experts], of the layout feature.
        same: groups of copies, by the experts' places (`experts.kin.Kin.same`); each group counts once, by its first.
    """
    copies = {one for group in same for one in group[1:]}
    chosen = [place for place in range(values.shape[2]) if place not in copies]
    grams = values[:, :, chosen][..., chosen].mean(axis=1)
    size = np.trace(grams, axis1=1, axis2=2) / max(len(chosen), 1)
    alive = np.isfinite(size) & (size > 0)
    return effective(grams[alive] / size[alive, None, None])
