"""What the host would drop or stumble over without a word: each is one sentence here."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from ....errors import EMoEError

_EMBEDDING = re.compile(r"embedding:([^\s,():]*)")
#: No encoder's numbers are as large by themselves; a weight such as (word:1e30) makes them so.
_LARGEST = 1e8


def check_embeddings(clip: Any, text: str) -> None:
    """An `EMoEError` for an embedding that the tokenizer would leave out: the prompt would say something else."""
    for name in dict.fromkeys(_EMBEDDING.findall(text)):
        if not name:  # on which the host's tokenizer fails
            raise EMoEError("The prompt names an embedding and does not say which; put its name behind 'embedding:'.")
        tokens = clip.tokenize(f"embedding:{name}")
        values = [entry[0] for windows in tokens.values() for window in windows for entry in window]
        found = [value for value in values if isinstance(value, torch.Tensor)]
        widths = {getattr(part, "embedding_size", None) for part in vars(clip.tokenizer).values()} - {None}
        fits = any(not widths or value.shape[-1] in widths for value in found)
        if not fits and (found or tokens == clip.tokenize("")):
            raise EMoEError(
                f"The prompt names the embedding '{name}', which is not in ComfyUI's embeddings folder or is of another "
                "model family, so it would be left out; put the file there, or take it out of the prompt."
            )


def check_areas(conditioning: list[list[Any]], sides: Sequence[int]) -> None:
    """An `EMoEError` for an area that lies outside of the picture.

    Args:
        sides: of the latent, in its places.
    """
    for _, options in conditioning:
        area = options.get("area")
        if not area or area[0] == "percentage":
            continue
        begins = area[len(area) // 2 :]
        if any(begin >= side for begin, side in zip(begins, sides[-len(begins) :], strict=False)):
            place, size = (
                "x".join(str(8 * one) for one in reversed(given)) for given in (begins, sides[-len(begins) :])
            )
            raise EMoEError(
                f"An area of the prompt begins at {place} pixels, outside of the picture of {size}; move the area, or make "
                "the latent larger."
            )


def check_values(tensor: torch.Tensor) -> None:
    """An `EMoEError` for an encoding that no network can bear."""
    if not bool(torch.isfinite(tensor).all()) or float(tensor.abs().max()) > _LARGEST:
        raise EMoEError(
            "The prompt's encoding holds numbers beyond all measure; look for a weight that is too large, such as "
            "(word:1e30)."
        )
