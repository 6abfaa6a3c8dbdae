"""Prompts as the pipeline itself encodes them, with its own tokenizers, text encoders, textual inversions and LoRA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import EMoEError
from ...records.message import Code, Message
from .networks import Encoded, place_of

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
#: Tokenizers without a limit of their own have a huge number for it.
_NO_LIMIT = 100_000


@dataclass(frozen=True, eq=False)
class TextEncoders:
    """The text half of a pipeline.

    Attributes:
        pipeline: the diffusers pipeline; only its `encode_prompt` is used.
        clip_skip: as in the pipeline's own call; None for the default layer.
    """

    pipeline: Any
    clip_skip: int | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The encoders that exist, by the pipeline's own names."""
        found = {name: getattr(self.pipeline, name, None) for name in _ENCODERS}
        return {name: module for name, module in found.items() if module is not None}

    def encode(self, texts: Sequence[str], width: int, height: int) -> Encoded:
        """One row per text; the sizes are pixels, for networks that take them (SDXL)."""
        first = next(iter(self.modules.values()), None)
        if first is None:
            raise EMoEError("This pipeline has no text encoder, so the prompt cannot be encoded; load it whole.")
        kind = type(self.pipeline).__name__
        if self.clip_skip is not None and kind == "StableDiffusionPipeline":
            return {"prompt_embeds": self._skipping(texts, first)}
        words: dict[str, Any] = {"prompt": list(texts), "device": place_of(first)[0], "num_images_per_prompt": 1}
        if not kind.startswith("Flux"):
            words["do_classifier_free_guidance"] = False
            words["clip_skip"] = self.clip_skip
        for name in ("prompt_2", "prompt_3"):
            if name.replace("prompt", "text_encoder") in getattr(self.pipeline, "config", {}):
                words[name] = list(texts)
        with torch.no_grad():
            found = self.pipeline.encode_prompt(**words)
        return _encoded(found, kind, len(texts), width, height)

    def _skipping(self, texts: Sequence[str], encoder: Any) -> Tensor:
        """Like Stable Diffusion's pipeline: an earlier layer through the last norm. Written out because releases of the
        pipeline look for a part of the encoder that newer releases of transformers lack.
        """
        tokenizer = self.pipeline.tokenizer
        words = [self.pipeline.maybe_convert_prompt(text, tokenizer) for text in texts]
        tokens = tokenizer(
            words, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        device = place_of(encoder)[0]
        with torch.no_grad():
            layers = encoder(
                tokens.input_ids.to(device),
                attention_mask=None if mask is None else mask.to(device),
                output_hidden_states=True,
            ).hidden_states
            if not 0 <= (self.clip_skip or 0) < len(layers):
                raise EMoEError(f"clip_skip is {self.clip_skip}; this text encoder has {len(layers) - 1} layers.")
            last = getattr(encoder, "text_model", encoder).final_layer_norm
            return last(layers[-1 - (self.clip_skip or 0)])  # type: ignore[no-any-return]

    def is_empty(self, text: str) -> bool:
        """Whether all encoders see the text as equal to the empty one."""
        tokenizers = [one for name in _TOKENIZERS if (one := getattr(self.pipeline, name, None)) is not None]
        return all(one(text)["input_ids"] == one("")["input_ids"] for one in tokenizers) if tokenizers else not text

    def too_long(self, text: str) -> Message | None:
        """A warning when the encoders do not see the end of the text."""
        if any(getattr(self.pipeline, name, None) is not None for name in ("text_encoder_3",)):
            return None  # T5 reads on where CLIP stops
        longest = [self._room(name, text) for name in _TOKENIZERS]
        if type(self.pipeline).__name__.startswith("Flux"):
            longest = longest[1:]
        over = [(have, room) for have, room in filter(None, longest) if have > room]
        if not over:
            return None
        have, room = max(over)
        return Message.of(Code.TOO_LONG, tokens=have, room=room)

    def _room(self, name: str, text: str) -> tuple[int, int] | None:
        """The number of tokens in the text, and how many the tokenizer's model reads."""
        tokenizer = getattr(self.pipeline, name, None)
        room = getattr(tokenizer, "model_max_length", _NO_LIMIT)
        if tokenizer is None or room >= _NO_LIMIT:
            return None
        return len(tokenizer(text, truncation=False, verbose=False)["input_ids"]), int(room)


def _encoded(found: Any, kind: str, count: int, width: int, height: int) -> Encoded:
    if kind.startswith("StableDiffusionXL"):
        embeds, _, pooled, _ = found
        # Original height and width, crop's top and left, target height and width (Podell et al., arXiv 2307.01952, 2.2).
        sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)
        return {"prompt_embeds": embeds, "text_embeds": pooled, "time_ids": sizes.expand(count, -1)}
    if kind.startswith("StableDiffusion3"):
        return {"prompt_embeds": found[0], "text_embeds": found[2]}
    if kind.startswith("Flux"):
        return {"prompt_embeds": found[0], "text_embeds": found[1]}
    return {"prompt_embeds": found[0]}
