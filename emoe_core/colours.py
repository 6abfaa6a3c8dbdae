"""Pictures of where the experts disagree."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

# Anchors of viridis (Smith and van der Walt, 2015, CC0), a perceptually uniform map, at equal steps.
_VIRIDIS = (
    (0.267, 0.005, 0.329),
    (0.283, 0.141, 0.458),
    (0.254, 0.265, 0.530),
    (0.207, 0.372, 0.553),
    (0.164, 0.471, 0.558),
    (0.128, 0.567, 0.551),
    (0.135, 0.659, 0.518),
    (0.267, 0.749, 0.441),
    (0.478, 0.821, 0.318),
    (0.741, 0.873, 0.150),
    (0.993, 0.906, 0.144),
)


def viridis(values: Tensor) -> Tensor:
    """Colours in [0, 1] for values in [0, 1]: adds a last axis of 3."""
    anchors = torch.tensor(_VIRIDIS)
    place = values.clamp(0, 1) * (len(_VIRIDIS) - 1)
    low = place.floor().long().clamp(max=len(_VIRIDIS) - 2)
    share = (place - low).unsqueeze(-1)
    return anchors[low] * (1 - share) + anchors[low + 1] * share


def disagreement_image(places: Tensor, height: int, width: int) -> Tensor:
    """Picture [B, height, width, 3] of the disagreement [B, h, w]: dark where experts agree, yellow where least.

    Colours run from 0 to the highest place of the whole batch, so items of a batch can be compared.
    """
    top = float(places.max())
    scaled = places / top if top > 0 else torch.zeros_like(places)
    grown = interpolate(scaled[:, None], size=(height, width), mode="bicubic", align_corners=False)[:, 0]
    return viridis(grown)
