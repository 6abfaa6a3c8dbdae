"""From experts and prompts to reports, in Python and without ComfyUI."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ...errors import EMoEError
from ...experts.sets import ExpertSet
from ...gating.proof import needs_proof, prove
from ...records.calibration import Calibration
from ...records.proof import Proof
from ...records.report import Report
from ...records.settings import Settings
from ...scoring.collect import Progress
from ...scoring.empty_prompt import says_nothing
from ...scoring.estimators import estimator as estimator_named
from ...scoring.presets import ScoreOptions, resolve_tap
from ...scoring.score import Scored
from ...scoring.score import score_many as score_latents
from .networks import Network
from .probe import DiffusersProbe, common_taps, noise_samples
from .schedules import sigma_of_step

PIXELS_A_LATENT = 8


@dataclass(frozen=True)
class Computing:
    """Where scores are computed and how many at once; scores depend on it only by rounding.

    Attributes:
        batch: how many (prompt, noise sample) pairs share one network call.
        device: where the experts are put, one at a time; None leaves each where it is.
    """

    batch: int = 8
    device: str | torch.device | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise EMoEError(f"batch is {self.batch}; choose 1 or more.")


def score(
    experts: ExpertSet, prompt: str, options: ScoreOptions | None = None, computing: Computing | None = None
) -> Report:
    """Scores one prompt.

    Raises:
        EMoEError: bad input, in one sentence.
    """
    return next(score_many(experts, [prompt], options, computing)).report


def score_many(
    experts: ExpertSet,
    prompts: Sequence[str],
    options: ScoreOptions | None = None,
    computing: Computing | None = None,
    progress: Progress | None = None,
    brief: bool = False,
) -> Iterator[Scored]:
    """Scores prompts in order; several go through each expert together. Returns reports with their disagreement maps.

    Args:
        progress: gets (model calls done, calls in total, expert) before each call, from 0 for every group of prompts.
        brief: leave out the estimators that nobody asked for.
    """
    chosen, how = options or ScoreOptions(), computing or Computing()
    settings = settings_of(experts, chosen)
    shape = settings.latent_shape
    noises = noise_samples(shape, chosen.noise_seed, chosen.noise_samples)
    width, height = shape[2] * PIXELS_A_LATENT, shape[1] * PIXELS_A_LATENT
    device = None if how.device is None else torch.device(how.device)
    # If experts take turns on a device, more prompts per turn mean fewer moves.
    group = max(1, how.batch // chosen.noise_samples) * (1 if device is None else 8)
    key = f"{settings.sigma}:{settings.noise_seed}:{settings.noise_samples}:{settings.latent_shape}:{settings.text_encoders}"
    for start in range(0, len(prompts), group):
        texts = list(prompts[start : start + group])
        if estimator_named(settings.estimator).needs_empty:
            _refuse_empty(texts, experts, settings.estimator)
        sigma = sigma_of_step(experts.experts[0].model.levels, chosen.scheduler, chosen.steps, chosen.at_step)
        probe = DiffusersProbe(experts, texts, width, height, noises, sigma, how.batch, device, key)
        found = score_latents(probe, experts, [settings] * len(texts), texts, progress, brief=brief)
        for text, scored in zip(texts, found, strict=True):
            yield _with_messages(scored, experts, text)


def proofs_of(
    experts: ExpertSet, options: ScoreOptions, calibrations: Iterable[Calibration], computing: Computing
) -> tuple[Proof, ...]:
    """A proof of each calibration made by other digests; see `emoe_core.gating.proof`."""
    settings = settings_of(experts, options)

    def scores(texts: Sequence[str]) -> list[float]:
        found = score_many(experts, list(texts), options, computing, brief=True)
        return [scored.report.score for scored in found]

    return tuple(prove(one, scores) for one in calibrations if needs_proof(one, settings))


def settings_of(experts: ExpertSet, options: ScoreOptions) -> Settings:
    """Everything that scores made this way depend on; an `EMoEError` for bad input."""
    if len(experts) == 0:
        raise EMoEError("There are no experts to score with; load two or more with load_experts.")
    tap, estimator = options.reading
    estimator_named(estimator)
    first = experts.experts[0]
    return Settings(
        experts=tuple(expert.identity for expert in experts.experts),
        text_encoders=tuple(expert.text_encoder_identity() for expert in experts.experts),
        tap=resolve_tap(tap, common_taps(experts)),
        estimator=estimator,
        sigma=float(f"{_common_sigma(experts, options):.6g}"),
        noise_seed=options.noise_seed,
        noise_samples=options.noise_samples,
        latent_shape=_latent_shape(first.model, options.size),
        latent="empty",
        dtype=first.dtype,
    )


def _latent_shape(network: Network, size: tuple[int, int] | None) -> tuple[int, ...]:
    config = getattr(network.module, "config", {})
    if size is None:
        side = config.get("sample_size") or 64
        width, height = (side[1], side[0]) if isinstance(side, (tuple, list)) else (side, side)
        return network.channels, int(height), int(width)
    step = PIXELS_A_LATENT * network.multiple
    width, height = size
    if width < step or height < step or width % step or height % step:
        raise EMoEError(
            f"The size is {width}x{height}; these experts want multiples of {step}, at least {step}x{step}."
        )
    return network.channels, height // PIXELS_A_LATENT, width // PIXELS_A_LATENT


def _common_sigma(experts: ExpertSet, options: ScoreOptions) -> float:
    step = (options.scheduler, options.steps, options.at_step)
    sigmas = [sigma_of_step(expert.model.levels, *step) for expert in experts.experts]
    for expert, sigma in zip(experts.experts, sigmas, strict=True):
        if abs(sigma - sigmas[0]) > 1e-3 * sigmas[0]:
            raise EMoEError(
                f"'{expert.name}' has another noise schedule than '{experts.experts[0].name}', so one step means different "
                "noise to them; use experts with schedulers of one configuration."
            )
    return sigmas[0]


def _refuse_empty(texts: Sequence[str], experts: ExpertSet, estimator: str) -> None:
    encoders = [expert.clip for expert in experts.experts if expert.clip is not None]
    for text in texts:
        if encoders and all(one.is_empty(text) for one in encoders):
            raise says_nothing(text, estimator)


def _with_messages(scored: Scored, experts: ExpertSet, text: str) -> Scored:
    found = dict.fromkeys(scored.report.messages)
    for expert in experts.experts:
        if expert.clip is not None and (message := expert.clip.too_long(text)):
            found[message] = None
    return replace(scored, report=replace(scored.report, messages=tuple(found)))
