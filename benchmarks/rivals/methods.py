"""The scores that are compared, each made from `Passes`. Higher means less certain, as was fixed before the measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .passes import EARLY, FEW, JOLTS, MORE_SEEDS, SEEDS, Passes, wordings

EXPERTS, SAMPLES, WORDINGS = 4, len(SEEDS), len(wordings(""))
LAYOUT = "layout"
#: The preset `one_model`.
ONE_MODEL = "guidance of one"
#: Network calls per prompt. The empty prompt's are kept from prompt to prompt, where it is asked about the same noise.
FULL = EXPERTS * SAMPLES
#: Directions in which features of reference prompts are whitened: as many prompts are there for each as it takes.
DIRECTIONS = 20


@dataclass(frozen=True)
class Method:
    """One way to score.

    Attributes:
        calls: of a network per prompt.
        references: whether it needs reference prompts.
        score: from the passes and the number of reference prompts, which come first; one value per prompt.
        alone: whether one expert is enough.
    """

    calls: float
    references: bool
    score: Callable[[Passes, int], Any]
    alone: bool = False

    @property
    def price(self) -> float:
        """Calls as a share of those of `layout`."""
        return self.calls / FULL


def ratio(t: Tensor) -> Any:
    """Variance across the third dimension over mean square, [P, K, M, D] to [P]."""
    t = t.double()
    return (t.var(dim=2).mean(dim=2) / t.square().mean(dim=(2, 3))).mean(dim=1).numpy()


def even(shift: Tensor) -> Tensor:
    """What differs from place to place, [..., C, places] to [..., D]."""
    exact = shift.double()
    return (exact - exact.mean(dim=-1, keepdim=True)).flatten(-2)


def _two(passes: Passes) -> Tensor:
    return even(passes.shift[:, :SAMPLES])


def _size(shift: Tensor) -> Tensor:
    return shift.double().square().mean(dim=(-2, -1))


def _centred(passes: Passes, known: int) -> Any:
    t = _two(passes)
    return ratio(t - t[:known].mean(dim=0, keepdim=True))


def _apart(t: Tensor) -> Any:
    """1 minus the mean cosine over pairs of experts."""
    t = normalize(t.double(), dim=3)
    pairs = [(t[:, :, i] * t[:, :, j]).sum(dim=2) for i, j in combinations(range(t.shape[2]), 2)]
    return 1 - torch.stack(pairs).mean(dim=(0, 2)).numpy()


def _maps(passes: Passes, _: int) -> Any:
    return _apart(passes.maps - passes.maps.mean(dim=3, keepdim=True))


# --- typicality ------------------------------------------------------------------------------------------


def _answers(passes: Passes) -> list[Tensor]:
    return list(_two(passes).mean(dim=(1, 2))[:, None])


def _middles(passes: Passes) -> list[Tensor]:
    return list(passes.middle.double().mean(dim=1).flatten(1)[:, None])


def _words(passes: Passes) -> list[Tensor]:
    return [words.double().flatten(1) for words in passes.words]


Features = Callable[[Passes], list[Tensor]]


def _whitened(features: Features, unit: bool = False) -> Callable[[Passes, int], Any]:
    """The Mahalanobis distance of the least typical feature, in the directions that vary most among the references.

    Args:
        unit: whether features are of length one, so that a small answer is not taken for a typical one.
    """

    def score(passes: Passes, known: int) -> Any:
        every = [normalize(one, dim=1) if unit else one for one in features(passes)]
        bank = torch.cat(every[:known])
        centre = bank.mean(dim=0)
        _, sizes, axes = torch.linalg.svd(bank - centre, full_matrices=False)
        count = min(DIRECTIONS, int((sizes > 1e-9 * sizes[0]).sum()), len(bank) - 1)
        to_units = axes[:count].T / (sizes[:count] / len(bank) ** 0.5)
        return _worst(((one - centre) @ to_units).square().sum(dim=1) for one in every)

    return score


def _nearest(features: Features) -> Callable[[Passes, int], Any]:
    """1 minus the largest cosine with a feature of a reference, of the prompt's feature that has the smallest.

    A reference prompt is compared with the others.
    """

    def score(passes: Passes, known: int) -> Any:
        every = features(passes)
        centre = torch.cat(every[:known]).mean(dim=0)
        every = [normalize(one - centre, dim=1) for one in every]
        bank = torch.cat(every[:known])
        owner = torch.repeat_interleave(torch.arange(known), torch.tensor([len(one) for one in every[:known]]))
        return _worst(1 - (one @ bank.T)[:, owner != place].amax(dim=1) for place, one in enumerate(every))

    return score


def _worst(distances: Iterable[Tensor]) -> Any:
    return np.array([float(one.max()) for one in distances])


# --- perturbed prompts -----------------------------------------------------------------------------------


def _wobble(passes: Passes, others: Tensor, experts: int) -> Any:
    """How far one expert's answers to variants of the prompt lie apart; the mean over experts."""
    stacked = torch.cat([passes.shift[:, None, :SAMPLES], others], dim=1)
    t = even(stacked[:, :, :, :experts])  # P, R, K, M, D
    return np.mean([ratio(t[:, :, :, m].transpose(1, 2)) for m in range(experts)], axis=0)


def _both_axes(passes: Passes, others: Tensor) -> Any:
    """Experts and variants of the prompt as one set of answers."""
    stacked = torch.cat([passes.shift[:, None, :SAMPLES], others], dim=1)
    return ratio(even(stacked).permute(0, 2, 1, 3, 4).flatten(2, 3))


def _over_variants(passes: Passes, others: Tensor) -> Any:
    """The mean of `layout` over variants of the prompt."""
    stacked = torch.cat([passes.shift[:, None, :SAMPLES], others], dim=1)
    return np.mean([ratio(even(stacked[:, r])) for r in range(stacked.shape[1])], axis=0)


METHODS: dict[str, Method] = {
    LAYOUT: Method(FULL, False, lambda p, n: ratio(_two(p))),
    "layout, four noise samples": Method(EXPERTS * len(MORE_SEEDS), False, lambda p, n: ratio(even(p.shift))),
    ONE_MODEL: Method(SAMPLES, False, lambda p, n: 1 / _size(p.shift[:, :SAMPLES, 0]).mean(dim=1).numpy(), True),
    "guidance of one, four noise samples": Method(
        len(MORE_SEEDS), False, lambda p, n: 1 / _size(p.shift[:, :, 0]).mean(dim=1).numpy(), True
    ),
    "guidance, mean": Method(FULL, False, lambda p, n: 1 / _size(p.shift[:, :SAMPLES]).mean(dim=(1, 2)).numpy()),
    "experts' directions": Method(FULL, False, lambda p, n: _apart(_two(p))),
    "centre over prompts": Method(FULL, True, _centred),
    "attention's entropy, one": Method(SAMPLES, False, lambda p, n: p.entropy[:, :, 0].mean(dim=1).numpy(), True),
    "attention's entropy, mean": Method(FULL, False, lambda p, n: p.entropy.mean(dim=(1, 2)).numpy()),
    "attention's entropy, spread": Method(FULL, False, lambda p, n: p.entropy.std(dim=2).mean(dim=1).numpy()),
    "attention, what experts differ by": Method(
        FULL, False, lambda p, n: (p.shared_entropy - p.entropy.mean(dim=2)).mean(dim=1).numpy()
    ),
    "attention's maps, disagreement": Method(FULL, False, _maps),
    f"guidance of {EARLY} steps, one": Method(
        SAMPLES * (2 * EARLY - 1),
        False,
        lambda p, n: 1 / p.early[:, :, 0].double().mean(dim=1).sum(dim=1).numpy(),
        True,
    ),
    f"guidance of {EARLY} steps, mean": Method(
        FULL * (2 * EARLY - 1), False, lambda p, n: 1 / p.early.double().mean(dim=(1, 2)).sum(dim=1).numpy()
    ),
    "typicality of words, whitened": Method(0, True, _whitened(_words)),
    "typicality of words, unit length": Method(0, True, _whitened(_words, unit=True)),
    "typicality of words, nearest": Method(0, True, _nearest(_words)),
    "typicality of the middle, whitened": Method(FULL / 3, True, _whitened(_middles)),
    "typicality of the middle, unit length": Method(FULL / 3, True, _whitened(_middles, unit=True)),
    "typicality of the middle, nearest": Method(FULL / 3, True, _nearest(_middles)),
    "typicality of answers, whitened": Method(FULL, True, _whitened(_answers)),
    "typicality of answers, unit length": Method(FULL, True, _whitened(_answers, unit=True)),
    "typicality of answers, nearest": Method(FULL, True, _nearest(_answers)),
    "other wordings, one": Method(SAMPLES * (1 + WORDINGS), False, lambda p, n: _wobble(p, p.reworded, 1), True),
    "other wordings, mean": Method(FULL * (1 + WORDINGS), False, lambda p, n: _wobble(p, p.reworded, EXPERTS)),
    "other wordings and experts": Method(FULL * (1 + WORDINGS), False, lambda p, n: _both_axes(p, p.reworded)),
    "layout over other wordings": Method(FULL * (1 + WORDINGS), False, lambda p, n: _over_variants(p, p.reworded)),
    "noisy encoding, one": Method(SAMPLES * (1 + len(JOLTS)), False, lambda p, n: _wobble(p, p.jolted, 1), True),
    "noisy encoding, mean": Method(FULL * (1 + len(JOLTS)), False, lambda p, n: _wobble(p, p.jolted, EXPERTS)),
    "noisy encoding and experts": Method(FULL * (1 + len(JOLTS)), False, lambda p, n: _both_axes(p, p.jolted)),
    "layout over noisy encodings": Method(FULL * (1 + len(JOLTS)), False, lambda p, n: _over_variants(p, p.jolted)),
    f"clean picture after {EARLY} of 20 steps": Method(
        FULL * (2 * EARLY - 1), False, lambda p, n: ratio(even(p.begun))
    ),
    f"pictures of {FEW} steps": Method(FULL * (2 * FEW - 1), False, lambda p, n: ratio(even(p.drawn))),
    f"pictures of {FEW} steps, over empty": Method(
        FULL * (2 * FEW - 1), False, lambda p, n: ratio(even(p.drawn_over_empty))
    ),
    "another's picture judged": Method(FULL * (2 * FEW + 1), False, lambda p, n: -p.judged.mean(dim=(1, 2)).numpy()),
    "one's own picture judged": Method(
        FULL * (2 * FEW + 1), False, lambda p, n: -p.judged_own.mean(dim=(1, 2)).numpy()
    ),
}
#: Means with `layout`, each in units of its spread over the reference prompts; and the calls beyond those of `layout`.
JOINED = {
    "attention, what experts differ by": 0,
    "attention's entropy, spread": 0,
    f"guidance of {EARLY} steps, mean": FULL * (2 * EARLY - 2),
    "typicality of words, nearest": 0,
    "noisy encoding, mean": FULL * len(JOLTS),
    "noisy encoding, one": SAMPLES * len(JOLTS),
    "other wordings, mean": FULL * WORDINGS,
    f"pictures of {FEW} steps, over empty": FULL * (2 * FEW - 2),
    "another's picture judged": FULL * 2 * FEW,
}


def scores(passes: Passes, known: int) -> dict[str, Any]:
    """Every method's score of the prompts after the `known` reference prompts."""
    raw = {name: np.asarray(method.score(passes, known), dtype=float) for name, method in METHODS.items()}
    for name in JOINED:
        raw[joined(name)] = np.mean([_in_spreads(raw[one], known) for one in (LAYOUT, name)], axis=0)
    return {name: values[known:] for name, values in raw.items()}


def joined(name: str) -> str:
    return f"layout + {name}"


def _in_spreads(values: Any, known: int) -> Any:
    values = np.log(values) if (values > 0).all() else values
    return (values - values[:known].mean()) / values[:known].std()


def every() -> dict[str, Method]:
    """All methods by name, the joined ones at the end; those have no score of their own."""
    both = {joined(name): Method(FULL + more, True, METHODS[name].score) for name, more in JOINED.items()}
    return METHODS | both
