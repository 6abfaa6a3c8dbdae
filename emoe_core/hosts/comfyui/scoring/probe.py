"""The probe on ComfyUI: network calls through the host's own sampling entry, with taps on a private clone.

`CFGGuider` leaves conditioning, areas, ControlNet, hooks, LoRA patches, loading, offloading and casting
to the host; the user's model is never touched. Prompts and noise samples share calls (batching.py).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....errors import EMoEError
from ....experts.sets import Expert, ExpertSet
from ....io.log import log
from ....scoring import empty_prompt
from ....scoring.presets import NOISE_PRED, listed
from ....scoring.price import Meter
from ....scoring.probe import Answer, Latents, Request
from ..experts.partial import complete
from ..prompts.conditioning import Conditioning, check_width, digest
from . import batching, taps
from .patches import drawing_from, without_guidance

_DENOISED = "denoised"


@dataclass(frozen=True, eq=False)
class ComfyProbe:
    """Implements `emoe_core.scoring.probe.Probe`.

    Attributes:
        prompts: for each prompt one CONDITIONING per expert.
        empties: one CONDITIONING of the empty prompt per expert, or None where none is needed.
        latent: samples of the LATENT, [B, C, ...].
        noises: one noise tensor per noise sample, of the latent's shape.
        seeds: the seed of each noise sample; what patches of other nodes draw comes from it too.
        sigmas: the schedule from the scored step on; the first is the scored noise level.
        empty_key: digest of everything that the empty pass depends on, beside expert and CONDITIONING.
        apart: every prompt and noise sample gets a call of its own, so that its company does not even change the rounding.
        meter: counts calls and seconds.
    """

    experts: ExpertSet
    prompts: list[list[Conditioning]]
    empties: list[Conditioning] | None
    latent: Tensor
    noises: list[Tensor]
    seeds: list[int]
    sigmas: Tensor
    empty_key: str
    apart: bool = False
    meter: Meter = field(default_factory=Meter)

    @property
    def taps(self) -> tuple[str, ...]:
        """See `emoe_core.scoring.probe.Probe.taps`."""
        return common_taps(self.experts)

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        """See `emoe_core.scoring.probe.Probe.latents`."""
        expert = self.experts.experts[request.expert]
        if not request.empty:
            counted = partial(self.meter.called, expert.identity, empty=False, once=False)
            prompts = [prompt[request.expert] for prompt in self.prompts]
            return self._measure(expert, prompts, request.taps, advance, counted)
        if self.empties is None:
            raise EMoEError("The empty prompt is wanted and was not given.")
        what = digest(self.empties[request.expert])
        key = None if what is None else f"{self.empty_key}:{what}:{','.join(request.taps)}"
        if key is not None and (kept := empty_prompt.recall(expert, key)) is not None:
            log.debug("EMoE: the empty prompt of '%s' is known from an earlier score", expert.name)
            advance(len(self.noises))
            return Answer([kept])
        counted = partial(self.meter.called, expert.identity, empty=True, once=key is not None)
        answer = self._measure(expert, [self.empties[request.expert]], request.taps, advance, counted)
        if key is not None:
            empty_prompt.keep(expert, key, answer.latents[0])
        return answer

    def _measure(
        self,
        expert: Expert,
        prompts: list[Conditioning],
        wanted: tuple[str, ...],
        advance: Callable[[int], None],
        counted: "_Counted",
    ) -> Answer:
        has = taps.taps_of(expert.model)
        if missing := [tap for tap in wanted if tap not in has]:
            raise EMoEError(
                f"Expert '{expert.name}' ({expert.family}) has no tap '{missing[0]}'; it has {listed(has)}."
            )
        for prompt in prompts:
            check_width(prompt, expert)
        begun = time.perf_counter()
        tapped = _tapped_model(expert, wanted, counted)
        self.meter.read(expert.identity, time.perf_counter() - begun)
        found: dict[tuple[int, int], Latents] = {}
        denoised: dict[int, Tensor] = {}
        for units in self._calls(expert, prompts):
            for unit, latents in zip(units, self._call(tapped, prompts, units, wanted), strict=True):
                estimate = latents.pop(_DENOISED, None)
                if estimate is not None and unit[1] == 0:
                    denoised[unit[0]] = estimate[0].clone()
                found[unit] = latents
            advance(len(units))
        return Answer(
            [_over_noise([found[number, k] for k in range(len(self.noises))]) for number in range(len(prompts))],
            tuple(denoised[number] for number in range(len(prompts))) if denoised else (),
        )

    def _calls(self, expert: Expert, prompts: list[Conditioning]) -> list[list[tuple[int, int]]]:
        """The units (prompt, noise sample) of each network call."""
        most = 1 if self.apart else batching.units_a_call(self.latent, expert.model)
        items = self.latent.shape[0]
        calls: list[list[tuple[int, int]]] = []
        for number, prompt in enumerate(prompts):
            alike: list[list[tuple[int, int]]] = []  # calls that the prompt may join
            if batching.noise_stacks(prompt, items):
                alike = [call for call in calls if batching.same_shape(prompts[call[0][0]], prompt)]
            for k in range(len(self.noises)):
                call = next((call for call in alike if len(call) < most), None)
                if call is None:
                    call = []
                    calls.append(call)
                    if batching.noise_stacks(prompt, items):
                        alike.append(call)
                call.append((number, k))
        return calls

    def _call(
        self, tapped: "_Tapped", prompts: list[Conditioning], units: list[tuple[int, int]], wanted: tuple[str, ...]
    ) -> list[Latents]:
        """One pass of some units; in halves if the device has too little memory for all of them.

        If the prediction is wanted, the denoised estimate comes with it, as `_DENOISED`.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        tapped.captured.clear()
        conditioning = batching.stack(prompts, [number for number, _ in units], self.latent.shape[0])
        guider = comfy.samplers.CFGGuider(tapped.model)
        guider.inner_set_conds({"positive": conditioning})  # no negative: only the conditional branch
        guider.set_cfg(1.0)
        noise = torch.cat([self.noises[k] for _, k in units])
        latent = torch.cat([self.latent] * len(units))
        step, seed = _OneStep(), self.seeds[units[0][1]]
        begun = time.perf_counter()
        try:
            with drawing_from(seed):
                guider.sample(noise, latent, step, self.sigmas, disable_pbar=True, seed=seed)
        except comfy.model_management.OOM_EXCEPTION:
            if len(units) == 1:
                raise
            half = len(units) // 2
            log.info("EMoE: a call of %d latents did not fit into memory and is made in halves", len(units))
            return [
                *self._call(tapped, prompts, units[:half], wanted),
                *self._call(tapped, prompts, units[half:], wanted),
            ]
        tapped.counted(len(units), step.seconds, time.perf_counter() - begun - step.seconds)
        if not step.active:
            raise EMoEError(
                "No part of the conditioning is active at this step and place; check its timestep range, mask and at_step."
            )
        rows = len(noise)
        answer: Latents = {tap: _in_order(tapped, tap, step.order, rows) for tap in wanted if tap != NOISE_PRED}
        if NOISE_PRED in wanted:
            if step.prediction is None:
                raise EMoEError(
                    f"Expert '{tapped.name}' was not asked for its prediction; another node skipped the sampling."
                )
            answer[NOISE_PRED] = [step.prediction]
            answer[_DENOISED] = [tapped.model.model.process_latent_out(step.denoised)]
        shape = self.latent.shape
        return [
            {tap: [_as_picture(part.chunk(len(units))[i], shape) for part in parts] for tap, parts in answer.items()}
            for i in range(len(units))
        ]


#: Called for each network call, with its units, the seconds inside the network, and those around it.
_Counted = Callable[[int, float, float], None]


@dataclass(frozen=True, eq=False)
class _Tapped:
    """A private clone of an expert with taps on it, and what they recorded."""

    name: str
    model: ModelPatcher
    captured: list[tuple[str, Any, Tensor]]
    counted: _Counted


def _tapped_model(expert: Expert, wanted: tuple[str, ...], counted: _Counted) -> _Tapped:
    if NOISE_PRED in wanted:
        complete(expert.model)
    model = expert.model.clone()
    without_guidance(model)
    captured: list[tuple[str, Any, Tensor]] = []
    taps.place(model, wanted, lambda *found: captured.append(found))
    return _Tapped(expert.name, model, captured, counted)


def common_taps(experts: ExpertSet) -> tuple[str, ...]:
    """The taps that every expert of the set has."""
    each = [taps.taps_of(expert.model) for expert in experts.experts]
    return tuple(tap for tap in each[0] if all(tap in other for other in each))


class _OneStep(comfy.samplers.Sampler):
    """A sampler that asks the model once, at the first noise level, and keeps its prediction.

    Attributes:
        prediction: (x - denoised) / sigma, the noise for noise-predicting models and the velocity for flow models.
        denoised: the model's estimate of the picture, in its own scale.
        order: ids of the conditioning entries in the user's order.
        active: whether any entry counts at this step, at any place. If none does, the host predicts nothing, which would
            be the same for every prompt.
        seconds: inside the network, with the way back to the processor.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.prediction: Tensor | None = None
        self.denoised: Tensor | None = None
        self.order: list[Any] = []
        self.active = True

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
        entries, level = model_wrap.conds["positive"], sigmas[0].expand(x.shape[0])
        self.order = [entry["uuid"] for entry in entries]
        self.active = any(_has_a_say(entry, level[0]) for entry in entries)
        begun = time.perf_counter()
        denoised = model_wrap(x, level, **extra_args)
        self.denoised = denoised.float().cpu()
        self.prediction = ((x.float() - denoised.float()) / sigmas[0].float()).cpu()
        self.seconds = time.perf_counter() - begun
        return x  # type: ignore[no-any-return]


def _has_a_say(entry: dict[str, Any], level: Tensor) -> bool:
    """Whether the host will call the network for a processed entry at this noise level, and use the answer."""
    if level > entry.get("timestep_start", level) or level < entry.get("timestep_end", level):
        return False
    mask = entry.get("mask")
    return entry.get("strength", 1.0) != 0 and (mask is None or bool(torch.any(mask)))


def _in_order(tapped: _Tapped, tap: str, order: list[Any], rows: int) -> list[Tensor]:
    """A tap's latents in the order of the conditioning's entries: the host may batch them in another order.

    Raises:
        EMoEError: the network was asked for something else than each entry once, with these rows.
    """
    found = {entry: latent for here, entry, latent in tapped.captured if here == tap}
    count = sum(here == tap for here, *_ in tapped.captured)
    if count > len(found) or not found.keys() <= set(order):
        raise EMoEError(
            f"Another node asks the network of expert '{tapped.name}' more than once for a prompt, so it is not clear which "
            f"latent at '{tap}' is the prompt's; score without that node, or choose the preset layout."
        )
    odd = next((len(latent) for latent in found.values() if len(latent) != rows), None)
    if odd is not None:
        raise EMoEError(
            f"Another node changes how many latents go through the network of expert '{tapped.name}' ({odd} in place of "
            f"{rows}); score without that node."
        )
    return [found[entry] for entry in order if entry in found]


def _over_noise(samples: list[Latents]) -> Latents:
    """Stacks one prompt's noise samples: tensors [K, B, C, ...]."""
    return {
        tap: [torch.stack([sample[tap][entry] for sample in samples]) for entry in range(len(parts))]
        for tap, parts in samples[0].items()
    }


def _as_picture(latent: Tensor, shape: torch.Size) -> Tensor:
    """A transformer's tokens [B, C, tokens] as [B, C, h, w] if they are the patches of a latent of this shape."""
    if latent.ndim != 3 or len(shape) != 4:
        return latent
    for patch in (1, 2, 4):
        height, width = (-(-side // patch) for side in shape[-2:])
        if height * width == latent.shape[-1]:
            return latent.reshape(*latent.shape[:2], height, width)
    return latent
