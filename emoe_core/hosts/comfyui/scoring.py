"""From the Score node's inputs to a scored prompt."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...errors import EMoEError
from ...estimators import estimator
from ...experts import ExpertSet
from ...mixture.experts import MODE, MixtureSet
from ...report import Settings
from ...score import Progress, Scored, score
from . import conditioning as cond
from .mixture_probe import MixtureProbe
from .probe import ComfyProbe

SCHEDULERS: list[str] = list(comfy.samplers.SCHEDULER_NAMES)
MOST_NOISE_SAMPLES = 64


def score_prompt(
    experts: ExpertSet,
    positive: cond.Conditioning,
    latent: dict[str, Any],
    *,
    tap: str,
    estimator_name: str,
    add_noise: bool,
    noise_seed: int,
    steps: int,
    scheduler: str,
    at_step: int,
    noise_samples: int,
    empty_prompt: cond.Conditioning | None = None,
    progress: Progress | None = None,
) -> Scored:
    """Score the prompt in a ComfyUI process. Arguments are those of KSamplerAdvanced where they share a name.

    The node's progress bar moves with every model call, unless somebody else's `progress` is told instead.

    Raises:
        EMoEError: any bad input, in one sentence.
    """
    if len(experts) == 0:
        raise EMoEError("Score has no experts; connect Demo Experts, Load Experts or Add Expert.")
    first = experts.experts[0]
    samples = _latent_samples(first.model, latent)
    sigmas = _sigmas(experts, scheduler, steps, at_step)
    if not add_noise:
        noise_samples = 1  # nothing is drawn, so every sample would be the same
    if not 1 <= noise_samples <= MOST_NOISE_SAMPLES:
        raise EMoEError(f"Score's noise_samples is {noise_samples}; choose 1 to {MOST_NOISE_SAMPLES}.")
    noises = _noises(samples, latent, add_noise, noise_seed, noise_samples)
    needs_empty = estimator(estimator_name).needs_empty
    empties = cond.empty_for_experts(experts, empty_prompt, positive) if needs_empty else None
    per_expert = cond.is_per_expert(positive)
    prompts = cond.split(positive, len(experts))
    extras = cond.extras(positive)
    settings = Settings(
        experts=tuple(expert.identity for expert in experts.experts),
        text_encoders=tuple(e.text_encoder_identity() for e in experts.experts) if per_expert else ("shared",),
        tap=tap,
        estimator=estimator_name,
        sigma=float(f"{float(sigmas[0]):.6g}"),
        noise_seed=noise_seed if add_noise else None,
        noise_samples=noise_samples,
        latent_shape=tuple(samples.shape[1:]),
        latent="given" if bool(torch.count_nonzero(samples)) else "empty",
        dtype=first.dtype,
        conditioning=extras,
        mode=MODE if isinstance(experts, MixtureSet) else "ensemble",
    )
    # What other nodes added (ControlNet images, hooks, ...) has no cheap identity, so it forbids keeping the pass.
    keep = empty_prompt is None and not extras
    key = _key(samples, noises, sigmas) if keep else None
    told = progress or _node_progress()
    text = cond.prompt_text(positive)
    with torch.no_grad():
        if isinstance(experts, MixtureSet):
            mixture = MixtureProbe(experts, prompts, empties, samples, noises, sigmas, key)
            scored = score(mixture, experts, settings, text, told)
            return replace(scored, report=replace(scored.report, routing=mixture.routing()))
        return score(ComfyProbe(experts, prompts, empties, samples, noises, sigmas, key), experts, settings, text, told)


def _node_progress() -> Progress:
    bar = comfy.utils.ProgressBar(1)
    return lambda done, total, expert: bar.update_absolute(done, total)


def _latent_samples(model: Any, latent: dict[str, Any]) -> Tensor:
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise EMoEError("Score's latent_image is a nested latent (video with audio); EMoE scores single latents only.")
    if samples.shape[0] == 0:
        raise EMoEError("Score's latent_image is a batch of zero; set its batch_size to 1 or more.")
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    wanted = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != wanted:
        raise EMoEError(
            f"Score's latent_image has {samples.shape[1]} channels and the experts want {wanted}; make it with the "
            "experts' own VAE or an empty latent of their family."
        )
    if not bool(torch.isfinite(samples).all()):
        raise EMoEError("Score's latent_image holds NaN or infinite values; look at the node that made it.")
    return samples  # type: ignore[no-any-return]


def _sigmas(experts: ExpertSet, scheduler: str, steps: int, at_step: int) -> Tensor:
    """The schedule from the scored step on, made from the first expert and checked against the others."""
    if scheduler not in SCHEDULERS:
        raise EMoEError(f"Score's scheduler is '{scheduler}'; the known ones are {', '.join(SCHEDULERS)}.")
    if not 0 <= at_step < steps:
        raise EMoEError(f"Score's at_step is {at_step}, beyond the last of {steps} steps; choose 0 to {steps - 1}.")
    schedules = [
        comfy.samplers.calculate_sigmas(expert.model.get_model_object("model_sampling"), scheduler, steps)
        for expert in experts.experts
    ]
    for expert, schedule in zip(experts.experts, schedules, strict=True):
        if schedule.shape != schedules[0].shape or not torch.allclose(schedule, schedules[0], rtol=1e-3):
            raise EMoEError(
                f"'{expert.name}' has another noise schedule than '{experts.experts[0].name}', so one step means different "
                "noise to them; use experts with one model sampling setting."
            )
    sigmas = schedules[0][at_step:]
    if float(sigmas[0]) <= 0:
        raise EMoEError(
            f"At at_step {at_step} of {steps} no noise is left, so nothing can be scored; choose an earlier step."
        )
    return sigmas  # type: ignore[no-any-return]


def _noises(samples: Tensor, latent: dict[str, Any], add_noise: bool, seed: int, count: int) -> list[Tensor]:
    """Noise sample k is the noise that KSampler makes from the seed plus k; zeros where no noise is added."""
    if not add_noise:
        return [torch.zeros_like(samples, device="cpu")]
    return [comfy.sample.prepare_noise(samples, (seed + k) % 2**64, latent.get("batch_index")) for k in range(count)]


def _key(samples: Tensor, noises: list[Tensor], sigmas: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in (samples, *noises, sigmas):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
