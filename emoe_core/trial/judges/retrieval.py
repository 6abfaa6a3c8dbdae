"""Whether a picture finds its own prompt among others, and whether pictures and prompts have anything to do with each other.

Known as R-precision: a picture is right if its own prompt is among the first of a hundred (Xu et al. 2018, AttnGAN, arXiv
1711.10485; with CLIP: Park et al. 2021, Benchmark for Compositional Text-to-Image Synthesis).
"""

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OTHERS = 100
#: Among a hundred others, a picture that shows nothing of its prompt is among the first five in one case of twenty.
TOP = 5
#: Fewer prompts cannot show at this level that pictures and prompts belong together: 720 orders, one of them the right one.
FEWEST, LEVEL = 6, 0.01
_ROUNDS = 4999

Floats = NDArray[np.float64]


def others(own: str, prompts: Sequence[str], most: int = OTHERS) -> list[str]:
    """The prompts that a picture's own is compared with: all others, or as many as `most` of them, chosen by a hash.

    The choice is the same in every run, differs from prompt to prompt, and has no regard to the order of the file, where
    prompts of one group often stand together. Prompts that differ in white space or case alone are one.
    """
    found = {same(text): text for text in prompts}
    found.pop(same(own), None)
    if len(found) <= most:
        return list(found.values())
    return heapq.nsmallest(most, found.values(), key=lambda text: _hash(own, text))


def same(text: str) -> str:
    """Equal for prompts that say the same."""
    return " ".join(text.split()).casefold()


def _hash(own: str, text: str) -> bytes:
    return hashlib.sha256(f"{own}\0{text}".encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Place:
    """Where a picture's own prompt stands among others.

    Attributes:
        share: of the others that fit worse, one that fits as well counted half: 1 where its own fits best, about 0.5 by chance.
            The mean over pictures means the same for any number of others, which that of reciprocal ranks does not.
        place: from 1.
    """

    share: float
    place: float
    others: int

    def within(self, top: int) -> bool:
        """Whether it is among the first `top` of a hundred others; of fewer others, of as large a part of them."""
        return self.place <= max(1.0, top * (self.others + 1) / (OTHERS + 1))


def place(own: float, rest: Sequence[float] | Floats) -> Place:
    """Where `own` stands among `rest`, of which there must be some; higher fits better."""
    values = np.asarray(rest, dtype=np.float64)
    above, equal = int((values > own).sum()), int((values == own).sum())
    lower = len(values) - above - equal
    return Place((lower + equal / 2) / len(values), 1 + above + equal / 2, len(values))


def chance(fits: Floats) -> float:
    """How often pictures and prompts that have nothing to do with each other would fit as well as these: a permutation test.

    Counted is how many pictures fit their own prompt best; then the prompts are dealt out anew. The mean fit would not do: where
    prompts come in groups, as animals and houses, two spaces that have nothing in common lie so by accident that groups fit.
    In a simulation the mean then took such spaces for one in 46 % of the cases and the count in 2 %, with equal power.

    Args:
        fits: of picture i and the prompt of picture j, [n, n]; no two prompts are the same.
    """
    rng = np.random.default_rng(0)
    best = (fits == fits.max(axis=1, keepdims=True)).astype(np.int64)
    rows, own = np.arange(len(fits)), int(np.trace(best))
    dealt = np.array([best[rows, rng.permutation(len(fits))].sum() for _ in range(_ROUNDS)])
    return float((1 + (dealt >= own).sum()) / (1 + _ROUNDS))
