"""Variance of latents across experts and noise samples: the numbers beside the score, and the score place by place.

M experts, K noise samples, B batch items, C channels, D dimensions and h x w places of the latent, as in estimators.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def across_expert_variance(latents: Tensor) -> Tensor:
    """Unbiased variance across experts, Var_i m[i, k, b, d] with divisor M - 1: [M, K, B, D] -> [K, B, D].

    The variance in the paper's score (arXiv 2505.13273, section 4); M - 1 lets sets of different M estimate one quantity.
    The first expert is subtracted first, so identical experts give exactly 0 and a large common offset costs no digits.
    """
    latents = latents.float()
    return _unbiased(latents - latents[:1])


def _unbiased(values: Tensor) -> Tensor:
    """Unbiased variance over the first dimension, in two passes over whole rows: [N, ...] -> [...].

    `Tensor.var` walks the short first dimension with a stride and takes ten times as long on a processor.
    """
    return (values - values.mean(dim=0)).square_().sum(dim=0) / (len(values) - 1)


def mean_square(latents: Tensor) -> Tensor:
    """mean_{i,d} m^2, over experts and dimensions: [M, K, B, D] -> [K, B]."""
    return latents.float().square().mean(dim=(0, 3))


@dataclass(frozen=True)
class Decomposition:
    """Law of total variance over experts and noise samples, each part [B], in the latent's unit squared.

    Attributes:
        epistemic: mean_{k,d} Var_i m, from the experts' disagreement.
        seed: mean_d Var_k (mean_i m), from the noise alone; None with a single noise sample. It says nothing about the
            models' knowledge.
    """

    epistemic: Tensor
    seed: Tensor | None


def decompose(latents: Tensor) -> Decomposition:
    """Splits the variance of `latents` [M, K, B, D] into its epistemic and its seed part.

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
        seed = _unbiased(centre - centre[:1]).mean(dim=-1)
    return Decomposition(epistemic, seed)


def pairwise_distances(latents: Tensor) -> Tensor:
    """mean (m_i - m_j)^2 over mean m^2 for every two experts: [M, K, B, D] -> [M, M], 0 on the diagonal.

    Ours: shows which experts are near-identical and which one stands alone.
    """
    flat = latents.float().flatten(1)
    distance = torch.stack([(flat - row).square().mean(dim=1) for row in flat])
    scale = flat.square().mean()
    return distance / scale if float(scale) > 0 else distance


def summarise(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean over noise samples and its standard error, sd / sqrt(K) with divisor K - 1: [K, B] -> [B] each.

    The standard error is None with one sample, which cannot show it.
    """
    samples = values.shape[0]
    mean = values.mean(dim=0)
    if samples == 1:
        return mean, None
    return mean, (values - values[:1]).std(dim=0, correction=1) / samples**0.5


#: Pixels per side of one place of the latent, where nothing else tells the size of the picture.
PIXELS_A_LATENT = 8


def disagreement(latents: list[Tensor], empty: list[Tensor] | None = None, layout: bool = False) -> Tensor:
    """The score place by place: from one tensor [K, B, C, h, w] per expert to [B, h, w]. Ours.

    mean_k( mean_c Var_i x / mean_{i,c,h,w} x^2 ), with x = m: the mean over all places is the estimator `relative`, so the
    map shows where the score comes from. With `empty`, the empty prompt's latents e, x = m - e, which gives
    `centred_relative`; with `layout` too, x less each channel's mean over places and frames, which gives `centred_layout`.
    The map of a video is the mean over its frames.
    """
    stacked = torch.stack(latents).float()
    if empty is not None:
        stacked = stacked - torch.stack(empty).float()
    apart = stacked - stacked[:1]  # before any mean is taken: equal experts stay exactly equal
    if layout:
        stacked, apart = _levelled(stacked), _levelled(apart)
    if len(latents) == 1:
        variance = torch.zeros_like(stacked[0])
    else:
        variance = across_expert_variance(apart)
    scale = stacked.square().flatten(3).mean(dim=(0, 3)).clamp_min(torch.finfo(torch.float32).tiny)  # [K, B]
    places = (variance.mean(dim=2) / scale.reshape(*scale.shape, *[1] * (variance.ndim - 3))).mean(dim=0)
    while places.ndim > 3:  # frames
        places = places.mean(dim=1)
    return places if places.ndim == 3 else places.reshape(places.shape[0], 1, -1)


def _levelled(latents: Tensor) -> Tensor:
    """[M, K, B, C, ...] minus each channel's mean, in double precision as in the estimator."""
    exact = latents.double()
    return (exact - exact.mean(dim=tuple(range(4, exact.ndim)), keepdim=True)).float()
