"""Variance of latents across experts and noise samples, and what is told of it beside the score.

M experts, K noise samples, B batch items, D dimensions of the latent, as in estimators.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def across_expert_variance(latents: Tensor) -> Tensor:
    """Unbiased variance across experts, Var_i m[i, k, b, d] with divisor M - 1; shape [K, B, D].

    The first expert is subtracted before the variance is taken: variance does not change under a shift, identical
    experts then give exactly 0 for any M, and a large common offset costs no digits.
    """
    latents = latents.float()
    return (latents - latents[:1]).var(dim=0, correction=1)


def mean_square(latents: Tensor) -> Tensor:
    """Mean over experts and dimensions of m squared; shape [K, B]."""
    return latents.float().square().mean(dim=(0, 3))


@dataclass(frozen=True)
class Decomposition:
    """Law of total variance over experts and noise samples, each of shape [B], in the latent's own unit squared.

    Attributes:
        epistemic: mean_k mean_d Var_i, what the experts disagree on.
        seed: mean_d Var_k of the experts' mean, what the noise alone changes; None with a single noise sample.
            It says nothing of the world, only of the seed.
    """

    epistemic: Tensor
    seed: Tensor | None


def decompose(latents: Tensor) -> Decomposition:
    """Split the variance of `latents` [M, K, B, D] into its epistemic and its seed part.

    With one expert the epistemic part is 0.
    """
    experts, samples = latents.shape[:2]
    if experts > 1:
        epistemic = across_expert_variance(latents).mean(dim=(0, 2))
    else:
        epistemic = torch.zeros(latents.shape[2])
    seed = None
    if samples > 1:
        centre = latents.float().mean(dim=0)
        seed = (centre - centre[:1]).var(dim=0, correction=1).mean(dim=-1)
    return Decomposition(epistemic, seed)


def pairwise_distances(latents: Tensor) -> Tensor:
    """Mean squared distance between every two experts over their mean square, shape [M, M]; 0 on the diagonal.

    Tells which experts are near-identical and which one stands alone.
    """
    flat = latents.float().flatten(1)
    distance = torch.stack([(flat - row).square().mean(dim=1) for row in flat])
    scale = flat.square().mean()
    return distance / scale if float(scale) > 0 else distance


def summarise(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean over noise samples and its standard error, each of shape [B], from values of shape [K, B].

    The standard error is None with one sample: there is nothing to estimate it from.
    """
    samples = values.shape[0]
    mean = values.mean(dim=0)
    if samples == 1:
        return mean, None
    return mean, (values - values[:1]).std(dim=0, correction=1) / samples**0.5
