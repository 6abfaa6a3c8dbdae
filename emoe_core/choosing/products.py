"""Inner products of the experts' features. What any set of the experts scores follows from them, in closed form.

Notation as in `scoring.estimators`: m is the prompt's latent, s = m - e the shift from the empty prompt's, and t the shift
less each channel's mean over places. With D dimensions, G_ij = <f_i, f_j> / D and d_ij = |f_i - f_j|^2 / D for a feature f:

    mean_d Var_i f = sum_{i<j} d_ij / (M (M - 1)),    mean_{i,d} f^2 = mean_i G_ii

so a set of experts, or of noise samples, needs only its own rows and columns.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EMoEError
from ..scoring.stages import halves
from ..stats.evaluation import Floats

if TYPE_CHECKING:
    from ..scoring.estimators import Measured

PROMPT, SHIFT, LAYOUT = "prompt", "shift", "layout"
#: The feature that an estimator reads, for those that follow from products.
FEATURES = {
    "relative": PROMPT,
    "variance": PROMPT,
    "response": PROMPT,
    "centred": SHIFT,
    "centred_relative": SHIFT,
    "guidance": SHIFT,
    "centred_layout": LAYOUT,
}
#: Dimensions that are multiplied at once: more would not stay in a processor's cache in double precision.
_AT_ONCE = 1 << 14
#: Squared distance over that to the first expert, below which products of differences lose too many digits.
_CLOSE = 1e-5


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of one feature at one noise level and size.

    Attributes:
        square: the mean square of each expert's feature G_ii, [prompts, noise samples, experts], float64.
        apart: the mean squared distance of every two experts d_ij, [prompts, noise samples, experts, experts]. They are taken
            from the differences themselves, so that near copies keep their digits.
    """

    square: Floats
    apart: Floats

    @property
    def values(self) -> Floats:
        """G, [prompts, noise samples, experts, experts], float64, divided by the number of dimensions."""
        return (self.square[..., :, None] + self.square[..., None, :] - self.apart) / 2

    @property
    def prompts(self) -> int:
        return len(self.square)

    @property
    def samples(self) -> int:
        return int(self.square.shape[1])

    @property
    def experts(self) -> int:
        return int(self.square.shape[2])

    def of(self, experts: Sequence[int], samples: int | None = None) -> "Products":
        """Those of some experts in this order, and of the first so many noise samples."""
        chosen = list(experts)
        return Products(self.square[:, :samples, chosen], self.apart[:, :samples, chosen][..., chosen])

    def at(self, prompts: Sequence[int] | Floats) -> "Products":
        """Those of some prompts."""
        chosen = np.asarray(prompts, dtype=np.intp)
        return Products(self.square[chosen], self.apart[chosen])

    def numerator(self) -> Floats:
        """mean_d Var_i f: how far the experts disagree, [prompts, noise samples]."""
        count = self.experts
        found: Floats = self.apart.sum(axis=(2, 3)) / (2 * count * (count - 1))
        return found

    def denominator(self) -> Floats:
        """mean_{i,d} f^2: how large the feature is, [prompts, noise samples]."""
        found: Floats = self.square.mean(axis=2)
        return found

    def scores(self, estimator: str) -> Floats:
        """What an estimator gives for each prompt, [prompts]: its mean over noise samples.

        Raises:
            EMoEError: too few experts for the estimator, or one that does not follow from products.
        """
        if estimator not in _FORMS:
            raise EMoEError(f"The estimator '{estimator}' does not follow from products; choose {', '.join(_FORMS)}.")
        fewest, form = _FORMS[estimator]
        if self.experts < fewest:
            raise EMoEError(f"The estimator '{estimator}' compares experts; give at least {fewest}.")
        found: Floats = form(self).mean(axis=1)
        return found

    def scores_in_halves(self, estimator: str) -> Floats:
        """The mean of two small scores, [prompts]: each half of the experts on its half of the noise samples.

        That is a score in two stages (`scoring.stages`) whose second stage is always needed.
        """
        experts, samples = halves(self.experts, self.samples)
        first = self.of(range(experts), samples)
        second = Products(self.square[:, samples:, experts:], self.apart[:, samples:, experts:, experts:])
        found: Floats = (first.scores(estimator) + second.scores(estimator)) / 2
        return found


def _ratio(one: Products) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return one.numerator() / one.denominator()


def _alone(one: Products) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / one.square[:, :, 0])


#: By estimator the fewest experts, and its value for each prompt and noise sample.
_FORMS: dict[str, tuple[int, Callable[[Products], Floats]]] = {
    "relative": (2, _ratio),
    "centred_relative": (2, _ratio),
    "centred_layout": (2, _ratio),
    "variance": (2, Products.numerator),
    "centred": (2, Products.numerator),
    "response": (1, _alone),
    "guidance": (1, _alone),
}


def joined(parts: Iterable[Products]) -> Products:
    """The products of more prompts, one part behind the other."""
    all_parts = list(parts)
    return Products(np.concatenate([one.square for one in all_parts]), np.concatenate([one.apart for one in all_parts]))


def products(features: Iterable[Floats]) -> Products:
    """The products of one prompt, from one array [experts, dimensions] per noise sample."""
    found = [_products(one) for one in features]
    return Products(np.stack([square for square, _ in found])[None], np.stack([apart for _, apart in found])[None])


def _products(features: Floats) -> tuple[Floats, Floats]:
    """In double precision, some dimensions at a time, so that a wide layer is never copied whole.

    Distances come from products of the differences from the first expert. Where that loses digits, as for near copies that are
    far from the first, they come from the difference itself, so that copies are exactly 0 apart.
    """
    experts, dimensions = features.shape
    square, inner = np.zeros(experts), np.zeros((experts, experts))
    for part in _parts(features):
        square += np.einsum("id,id->i", part, part)
        part -= part[:1].copy()
        inner += part @ part.T
    size = np.diag(inner)
    both = size[:, None] + size[None]
    apart = np.maximum(both - inner - inner.T, 0.0)
    near = [(i, j) for i, j in combinations(range(experts), 2) if apart[i, j] <= _CLOSE * both[i, j]]
    for i, j in near:
        apart[i, j] = apart[j, i] = sum(float(np.square(part[i] - part[j]).sum()) for part in _parts(features))
    np.fill_diagonal(apart, 0.0)
    return square / dimensions, apart / dimensions


def _parts(features: Floats) -> Iterator[Floats]:
    for start in range(0, features.shape[1], _AT_ONCE):
        yield np.array(features[:, start : start + _AT_ONCE], dtype=np.float64)


def measured_products(measured: "Measured", features: Sequence[str]) -> dict[str, Products]:
    """The products of one prompt's latents at one tap, of one picture.

    Raises:
        EMoEError: a feature needs the empty prompt, and its latents were not measured.
    """
    from ..scoring.estimators import exact_shift  # here, so that what was kept is read without torch

    found = {}
    for feature in features:
        told = measured.prompt if feature == PROMPT else exact_shift(measured, feature == LAYOUT)
        found[feature] = products(
            told[:, k, 0].float().numpy() if feature == PROMPT else told[:, k, 0].numpy() for k in range(told.shape[1])
        )
    return found
