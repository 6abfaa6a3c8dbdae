"""Pictures of where the experts disagree."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .charts.theme import VIRIDIS


def viridis(values: Tensor) -> Tensor:
    """Colours in [0, 1] for values in [0, 1]: adds a last axis of 3."""
    anchors = torch.tensor(VIRIDIS)
    place = values.clamp(0, 1) * (len(VIRIDIS) - 1)
    low = place.floor().long().clamp(max=len(VIRIDIS) - 2)
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
