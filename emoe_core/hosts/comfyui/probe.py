"""The probe on ComfyUI: one network call an expert through the host's own sampling entry.

Going through `CFGGuider` leaves conditioning, areas, ControlNet, hooks, LoRA patches, loading, offloading and casting
to the host. At the middle block a patch on a private clone takes the latent and the rest of the network is left out; the
user's model is never touched.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import EMoEError
from ...experts import Expert, ExpertSet
from ...presets import HIDDEN_TAPS
from ...probe import Request
from .conditioning import Conditioning, check_width
from .encoder_only import complete

WRAPPER_KEY = "emoe_tap"
_KEPT_EMPTY_PASSES = 16

# Latents of the empty prompt, kept as long as the expert itself: they depend on noise, size and step only.
_empty_passes: weakref.WeakKeyDictionary[Expert, OrderedDict[str, dict[str, list[Tensor]]]] = (
    weakref.WeakKeyDictionary()
)


class _Taken(Exception):
    """Raised at the tap to leave the network early; never leaves this module."""


@dataclass(frozen=True, eq=False)
class ComfyProbe:
    """Implements `emoe_core.probe.Probe`.

    Attributes:
        prompts: one CONDITIONING an expert.
        empties: one CONDITIONING of the empty prompt an expert, or None where none is needed.
        latent: samples of the LATENT, [B, C, ...].
        noises: one noise tensor a noise sample, of the latent's shape.
        sigmas: the schedule from the scored step on; the first is the scored noise level.
        empty_key: digest of all that the empty pass depends on, or None when it must not be kept.
    """

    experts: ExpertSet
    prompts: list[Conditioning]
    empties: list[Conditioning] | None
    latent: Tensor
    noises: list[Tensor]
    sigmas: Tensor
    empty_key: str | None
    _tapped: dict[tuple[str, bool], _TappedModel] = field(default_factory=dict, repr=False)

    def latents(self, request: Request) -> dict[str, list[Tensor]]:
        """See `emoe_core.probe.Probe.latents`."""
        expert = self.experts.experts[request.expert]
        if not request.empty:
            return self._measure(expert, self.prompts[request.expert], request)
        if self.empties is None:
            raise EMoEError("The empty prompt is wanted and was not given.")
        kept = _empty_passes.setdefault(expert, OrderedDict())
        key = f"{self.empty_key}:{request.tap}:{request.noise_sample}"
        if self.empty_key is not None and key in kept:
            kept.move_to_end(key)
            return kept[key]
        measured = self._measure(expert, self.empties[request.expert], request)
        answer = {request.tap: measured[request.tap]}  # what is kept stays small
        if self.empty_key is not None:
            kept[key] = answer
            while len(kept) > _KEPT_EMPTY_PASSES:
                kept.popitem(last=False)
        return answer

    def _measure(self, expert: Expert, conditioning: Conditioning, request: Request) -> dict[str, list[Tensor]]:
        comfy.model_management.throw_exception_if_processing_interrupted()
        check_width(conditioning, expert)
        stop_early = request.tap in HIDDEN_TAPS
        tapped = self._tapped_model(expert, stop_early)
        if stop_early and not tapped.has_middle_block:
            raise EMoEError(
                f"Expert '{expert.name}' ({expert.family}) has no middle block, so the tap '{request.tap}' does not "
                "exist there; choose the preset thorough (tap noise_pred)."
            )
        tapped.captured.clear()
        step = _OneStep()
        guider = comfy.samplers.CFGGuider(tapped.model)
        guider.inner_set_conds({"positive": conditioning})  # no negative: the conditional branch alone
        guider.set_cfg(1.0)
        noise = self.noises[request.noise_sample]
        guider.sample(noise, self.latent, step, self.sigmas, disable_pbar=True)
        answer: dict[str, list[Tensor]] = {}
        if tapped.has_middle_block:
            answer["mid_out"] = _in_order(tapped.captured, step.order)
        if not stop_early:
            if step.prediction is None:
                raise EMoEError(
                    f"Expert '{expert.name}' was not asked for its prediction; another node skipped the sampling."
                )
            answer["noise_pred"] = [step.prediction]
        return answer

    def _tapped_model(self, expert: Expert, stop_early: bool) -> _TappedModel:
        """A private clone with the tap on it, one for all noise samples of an expert."""
        key = (expert.name, stop_early)
        if key not in self._tapped:
            if not stop_early:
                complete(expert.model)
            model, captured = expert.model.clone(), []
            middle = has_middle_block(model)
            if middle:
                _tap_middle_block(model, lambda entry, h: captured.append((entry, h)), stop_early)
            self._tapped[key] = _TappedModel(model, captured, middle)
        return self._tapped[key]


@dataclass(frozen=True, eq=False)
class _TappedModel:
    model: Any
    captured: list[tuple[Any, Tensor]]
    has_middle_block: bool


def has_middle_block(model: Any) -> bool:
    """Whether the model is a U-Net with a middle block."""
    network = model.get_model_object("diffusion_model")
    return getattr(network, "middle_block", None) is not None and hasattr(network, "output_blocks")


class _OneStep(comfy.samplers.Sampler):  # type: ignore[misc]
    """A sampler that asks the model once, at the first noise level, and keeps what it predicts.

    Attributes:
        prediction: (x - denoised) / sigma, the noise for noise-predicting models and the velocity for flow models.
        order: ids of the conditioning entries in the user's order.
    """

    def __init__(self) -> None:
        self.prediction: Tensor | None = None
        self.order: list[Any] = []

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        sampling = model_wrap.inner_model.model_sampling
        x = sampling.noise_scaling(sigmas[0], noise, latent_image, self.max_denoise(model_wrap, sigmas))
        self.order = [entry["uuid"] for entry in model_wrap.conds["positive"]]
        denoised = model_wrap(x, sigmas[0].expand(x.shape[0]), **extra_args)
        self.prediction = ((x.float() - denoised.float()) / sigmas[0].float()).cpu()
        return x  # type: ignore[no-any-return]


def _tap_middle_block(model: Any, keep: Callable[[Any, Tensor], None], stop_early: bool) -> None:
    """Put a tap on a private clone: `keep(entry id, latent)` for each conditioning entry that the network sees.

    At the first output block a patch gets the middle block's output. The host deep-copies patches that are objects
    when it clones a model, and closures not, so the tap is a closure.
    """

    def at_output(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        if options.get("block") == ("output", 0):
            branches = options["cond_or_uncond"]
            for branch, entry, part in zip(branches, options["uuids"], h.chunk(len(branches)), strict=True):
                if branch == 0:  # a patch of another node may have asked for the unconditional branch as well
                    keep(entry, part.detach().to(device="cpu", dtype=torch.float32, copy=True))
            if stop_early:
                raise _Taken
        return h, skip

    def leave_early(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        try:
            return executor(x, *args, **kwargs)  # type: ignore[no-any-return]
        except _Taken:
            channels = getattr(executor.class_obj, "out_channels", x.shape[1])
            return x.new_zeros((x.shape[0], channels, *x.shape[2:]))

    patches = model.model_options["transformer_options"].setdefault("patches", {})
    # First in line: patches that change the decoder's input (FreeU) come after the middle block, not before.
    patches["output_block_patch"] = [at_output, *patches.get("output_block_patch", [])]
    if stop_early:
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, WRAPPER_KEY, leave_early)


def _in_order(captured: list[tuple[Any, Tensor]], order: list[Any]) -> list[Tensor]:
    """Latents in the order of the conditioning's entries: the host may batch them in another order."""
    rank = {entry: place for place, entry in enumerate(order)}
    return [latent for _, latent in sorted(captured, key=lambda item: rank.get(item[0], len(order)))]
