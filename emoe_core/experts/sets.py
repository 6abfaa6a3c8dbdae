"""Experts and expert sets: which models are compared, and how each one is identified."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import EMoEError
from ..records.calibration import Calibration
from .signature import Signature


@dataclass(frozen=True, eq=False)
class Expert:
    """One model of an expert set.

    Attributes:
        name: what the user calls it; unique in its set.
        model: the host's model object (ComfyUI: a ModelPatcher).
        clip: the host's text encoder, or None where the expert brings none of its own.
        signature: identity of the model's own weights, patches not applied.
        identity: hex digest of weights and patches together.
        clip_identity: the same digest of the text encoder, or ""; a function where the text encoder is read only when
            used. `text_encoder_identity` gives the digest in either case.
        family: architecture and latent format in words, e.g. "SD15, 4-channel latents".
        prediction: what the network predicts, e.g. "EPS" or "V_PREDICTION".
        dtype: the type the network computes in.
        file: file name and SHA-256 (the size where only parts were read) of the expert's file, "" without a file.
        weights: the stored type of the weights, for a quantised model that of its quantised layers, e.g. "float16",
            "float8_e4m3fn" or "nvfp4"; "" where it is unknown.
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
        """Digest of the text encoder, or "" without one. Reads it from its file if that has not happened yet."""
        return self.clip_identity if isinstance(self.clip_identity, str) else self.clip_identity()


@dataclass(frozen=True, eq=False)
class ExpertSet:
    """Experts in the order they were added, and the calibrations that came with them."""

    experts: tuple[Expert, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    def __len__(self) -> int:
        return len(self.experts)

    def get_models(self) -> list[Any]:
        """The host's objects that hold these experts' weights, each once: models, their additions, text encoders.

        ComfyUI looks for this name, so that models which the running prompt still needs are not the first to be unloaded.
        """
        found: dict[int, Any] = {}
        for expert in self.experts:
            # any other access would read a text encoder that is still in its file
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
        """The first expert's model. By this name ComfyUI recognises which of its cached values hold much memory."""
        return self.experts[0].model if self.experts else None

    def add(self, expert: Expert) -> "ExpertSet":
        """A new set with one more expert; an `EMoEError` if its family differs from that of the others.

        Calibrations belong to exactly the set they were made with, so the larger set does not inherit them.
        """
        if self.experts and self.experts[0].family != expert.family:
            first = self.experts[0]
            raise EMoEError(
                f"'{expert.name}' is {expert.family}, but '{first.name}' is {first.family}: experts of one set must be "
                "of one model family with one latent format, so add only models of the first one's family."
            )
        return ExpertSet((*self.experts, _renamed(expert, self.experts)))


def _renamed(expert: Expert, others: tuple[Expert, ...]) -> Expert:
    """The expert with a name that no other has: a number is added where it is taken."""
    base = expert.name.strip() or f"expert {len(others) + 1}"
    taken = {other.name for other in others}
    name, count = base, 2
    while name in taken:
        name, count = f"{base} ({count})", count + 1
    return replace(expert, name=name)
