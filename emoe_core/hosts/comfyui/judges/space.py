"""Pictures and texts in one space, by ComfyUI's own CLIP_VISION and CLIP objects."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import comfy.model_management
import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from ....errors import EMoEError
from ....trial.judges import digest
from ..experts.identity import model_identity
from ..experts.weights import weights_signature

_PAIR = "connect Load CLIP Vision and Load CLIP with both parts of one CLIP, such as those in OpenAI's clip-vit-large-patch14"
#: A trained projection changes the length of a text's vector less than so many times, and memory that nobody filled more.
_STRETCH = 100.0


class Space:
    """The projected vectors of a CLIP pair, each of length 1.

    Pictures are prepared as ComfyUI's CLIP vision does: the shorter side to the model's size, and the middle of the longer one.
    Of a prompt that is longer than the text encoder's window, the first window counts. Weights in brackets do not count.
    """

    def __init__(self, clip_vision: Any, clip: Any, judge: str) -> None:
        """
        Args:
            judge: its name, for errors.
        """
        if clip_vision is None or clip is None:
            raise EMoEError(f"The judge {judge} needs clip_vision and clip; {_PAIR}.")
        self._vision, self._clip = clip_vision, clip

    def identity(self) -> str:
        """A digest of both models."""
        patchers = {"the CLIP vision": self._vision.patcher, "the CLIP": self._clip.patcher}
        return digest([model_identity(one, weights_signature(one, "", name)) for name, one in patchers.items()])

    def check(self) -> None:
        """Refuses what is no pair of one space as far as its shape can tell, by one picture and one text."""
        try:
            texts, plain = self._pooled("a photo of a cat", True), self._pooled("a photo of a cat", False)
        except (AttributeError, KeyError, IndexError, TypeError):  # an encoder of another kind
            texts = plain = None
        if texts is None or plain is None:
            raise EMoEError(f"This text encoder gives no vector for a whole text, as CLIP's does; {_PAIR}.")
        pictures = self._embedded(torch.full((1, 32, 32, 3), 0.5))
        if pictures.ndim != 2:
            raise EMoEError(f"This CLIP vision gives no vector for a whole picture, as CLIP's does; {_PAIR}.")
        if texts.shape[-1] != pictures.shape[-1]:
            raise EMoEError(
                f"The CLIP vision and the CLIP do not belong together: pictures have {pictures.shape[-1]} numbers and texts "
                f"{texts.shape[-1]}; {_PAIR}."
            )
        # Many files lack the projection, and ComfyUI then leaves in it what was in memory.
        stretch = float(texts.norm() / plain.norm())
        if not 1 / _STRETCH < stretch < _STRETCH or torch.equal(texts, plain):  # NaN too
            raise EMoEError(
                "This CLIP has no text projection, as most files named clip_l and the checkpoints of Stable Diffusion 1 have "
                f"none; {_PAIR}."
            )

    def text(self, prompt: str) -> Tensor:
        """The vector of a text, [d]."""
        found = self._pooled(prompt, True)
        assert found is not None, "checked before"
        return torch.nn.functional.normalize(found[0], dim=-1)

    def pictures(self, images: Sequence[Image]) -> Tensor:
        """The vectors of pictures, [n, d]; those of one size that follow each other go through the model at once."""
        found = [
            self._embedded(torch.stack(list(part))) for _, part in groupby(map(_pixels, images), lambda one: one.shape)
        ]
        return torch.nn.functional.normalize(torch.cat(found), dim=-1)

    def _embedded(self, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = self._vision.encode_image(pixels)["image_embeds"]
        return found.float().cpu()

    def _pooled(self, text: str, projected: bool) -> Tensor | None:
        """A text's vector [1, d], as `CLIP.encode_from_tokens` makes it; a CLIP of SD1's kind gives it unprojected unless it is
        asked, and that method asks for what the CLIP does by itself.
        """
        tokens = {
            name: [[(token[0], 1.0) for token in windows[0]]]
            for name, windows in self._clip.tokenize(text).items()
            if windows
        }
        encoder, patcher = self._clip.cond_stage_model, self._clip.patcher
        comfy.model_management.load_models_gpu([patcher])
        encoder.reset_clip_options()
        try:
            encoder.set_clip_options({"projected_pooled": projected, "execution_device": patcher.load_device})
            with torch.no_grad():
                found = encoder.encode_token_weights(tokens)[1]
        finally:
            encoder.reset_clip_options()
        return found.float().cpu() if isinstance(found, Tensor) and found.ndim == 2 else None


def _pixels(image: Image) -> Tensor:
    """[h, w, 3] from 0 to 1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255)
