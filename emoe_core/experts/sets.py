"""Experts and expert sets: which models are compared, and how each is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import EMoEError
from .signature import Signature

if TYPE_CHECKING:
    from ..records.calibration import Calibration


@dataclass(frozen=True, eq=False)
class Expert:
    """One model of an expert set.

    Attributes:
        name: what the user calls it; unique in its set.
        model: the host's model object (ComfyUI: a ModelPatcher).
        clip: the host's text encoder, or None where the expert brings none of its own.
        signature: identity of the model's own weights, patches not applied.
        identity: hex digest of weights and patches together.
        clip_identity: the same of the text encoder, or "". A function where the text encoder is only read when it is used;
            `text_encoder_identity` gives the digest in either case.
        family: architecture and latent format in words, e.g. "SD15, 4-channel latents".
        prediction: what the network predicts, e.g. "EPS" or "V_PREDICTION".
        dtype: the type the network computes in.
        file: file name and SHA-256 where the expert was read from a file (its size where only parts were), else "".
        weights: the type that the weights are stored in, of a quantised model that of its quantised layers, e.g. "float16",
            "float8_e4m3fn" or "nvfp4"; "" where that is not known.
    """

    name: str
    model: Any
    clip: Any
    signature: Signature
    identity: str
    clip_identity: str | Callable[[], str]
    family: str
    prediction: str
    dtype: str
    file: str = ""
    weights: str = ""

    def text_encoder_identity(self) -> str:
        """Digest of the text encoder, or "" without one. Reads it from its file where that was put off."""
        return self.clip_identity if isinstance(self.clip_identity, str) else self.clip_identity()


@dataclass(frozen=True, eq=False)
class ExpertSet:
    """Experts in the order they were added, and the calibrations that came with them."""

    experts: tuple[Expert, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    def __len__(self) -> int:
        return len(self.experts)

    def get_models(self) -> list[Any]:
        """The host's objects that hold these experts' weights, each once: models, what goes with them, text encoders.

        ComfyUI asks for them by this name, so that what the running prompt still needs is not the first to lose its memory.
        """
        found: dict[int, Any] = {}
        for expert in self.experts:
            # where a text encoder is still in its file, asking for anything else would read it
            listed = getattr(expert.clip, "get_models", None)
            texts = [getattr(expert.clip, "patcher", None)] if listed is None else listed()
            with_it = [
                other
                for name in ("get_nested_additional_models", "model_patches_models")
                for other in getattr(expert.model, name, list)()
            ]
            found |= {id(one): one for one in (expert.model, *with_it, *texts) if one is not None}
        return list(found.values())

    @property
    def patcher(self) -> Any:
        """The first expert's model. ComfyUI tells by this name which of its cached values are worth much memory."""
        return self.experts[0].model if self.experts else None

    def add(self, expert: Expert) -> ExpertSet:
        """A new set with one more expert; an `EMoEError` if it is of another family than the ones before.

        Calibrations belong to the very set they were made with, so they do not follow into the larger one.
        """
        if self.experts and self.experts[0].family != expert.family:
            first = self.experts[0]
            raise EMoEError(
                f"'{expert.name}' is {expert.family}, but '{first.name}' is {first.family}: experts of one set must be "
                "of one model family with one latent format, so add only models of the first one's family."
            )
        return ExpertSet((*self.experts, _renamed(expert, self.experts)))


def _renamed(expert: Expert, others: tuple[Expert, ...]) -> Expert:
    """The expert with a name that no other has, counting up where it is taken."""
    base = expert.name.strip() or f"expert {len(others) + 1}"
    taken = {other.name for other in others}
    name, count = base, 2
    while name in taken:
        name, count = f"{base} ({count})", count + 1
    return replace(expert, name=name)
