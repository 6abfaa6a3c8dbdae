"""The maps of a score, place by place."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Maps:
    """What a score shows place by place.

    Attributes:
        disagreement: [B, h, w], see `disagreement`.
        denoised: the first expert's denoised estimate of the first noise sample, [B, C, H, W] in the scale of a LATENT;
            None where the pass ended before the prediction.
    """

    disagreement: Tensor
    denoised: Tensor | None = None
