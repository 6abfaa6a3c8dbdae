"""From the Disagreement Map node's inputs to its picture."""

import torch
from comfy.sd import VAE
from torch import Tensor

from ...errors import EMoEError
from ...records.report import Maps, Report
from ...show.disagreement_map import Look, map_picture, mask


def drawn(report: Report, look: Look, image: Tensor | None, vae: VAE | None) -> tuple[Tensor, Tensor]:
    """The map as IMAGE and as MASK, over the given picture or else the decoded estimate.

    Raises:
        EMoEError: a report without a map, a VAE without an estimate to decode, or one that does not fit it.
    """
    if report.maps is None:
        raise EMoEError(
            "Disagreement Map's report holds no map; connect the report of an Uncertainty Score in the same graph."
        )
    under = image if image is not None or vae is None else _decoded(report.maps, report, vae)
    return map_picture(report, report.maps, under, look), mask(report, report.maps, under, look)


def _decoded(maps: Maps, report: Report, vae: VAE) -> Tensor:
    if maps.denoised is None:
        raise EMoEError(
            f"Disagreement Map has a vae and nothing to decode: the score stopped at '{report.settings.tap}', before the "
            "network's prediction. Choose the preset layout on Uncertainty Score, connect a picture to image instead, "
            "or disconnect the vae."
        )
    channels = getattr(vae, "latent_channels", None)
    if channels is not None and channels != maps.denoised.shape[1]:
        raise EMoEError(
            f"Disagreement Map's vae decodes latents of {channels} channels and the experts' have "
            f"{maps.denoised.shape[1]}; connect the VAE of the experts' own family."
        )
    with torch.no_grad():
        picture = vae.decode(maps.denoised)
    if picture.ndim == 5:  # a video: its middle frame
        picture = picture[:, picture.shape[1] // 2]
    return picture
