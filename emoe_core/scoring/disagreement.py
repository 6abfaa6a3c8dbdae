"""Where in the picture the experts disagree: the score, place by place.

M experts, K noise samples, B batch items, C channels, h x w places of the latent, as in estimators.py.
"""

import torch
from torch import Tensor

from .variance import across_expert_variance

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
