"""From the Score node's inputs to a scored prompt."""

import hashlib
import itertools
import math
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....errors import EMoEError
from ....experts.sets import Expert, ExpertSet
from ....io.log import log
from ....mixture.experts import MODE, MixtureSet
from ....records.calibration import Calibration
from ....records.message import Code, Message
from ....records.report import Report, StageCalls
from ....records.settings import SHARED, Settings
from ....records.took import Took
from ....scoring.collect import Progress, Reading, Taken, collect
from ....scoring.comparable import check_comparable
from ....scoring.empty_prompt import says_nothing
from ....scoring.estimators import estimator
from ....scoring.presets import PRESETS, ScoreOptions, resolve_tap
from ....scoring.price import ENSEMBLE, Kind, Meter, planned, short
from ....scoring.score import Scored, score_many
from ....scoring.stages import FEWEST_EXPERTS, FEWEST_SAMPLES, Stages, halves, joined, stage_calls
from ..experts.patchers import on_processor, sampled_shape
from ..prompts import conditioning as cond
from ..prompts.checks import check_areas
from . import batching, patches, prices
from .mixture_probe import MixtureProbe
from .probe import ComfyProbe, common_taps
from .proving import Prover

SCHEDULERS: list[str] = list(comfy.samplers.SCHEDULER_NAMES)
SAMPLERS: list[str] = list(comfy.samplers.KSampler.SAMPLERS)
#: How much is scored at once for lists of prompts: see `Run.prompts_a_block`.
CALLS_A_BLOCK = 4
PROMPTS_A_BLOCK = 64
#: What to connect, by the number of dimensions of a latent beside batch and channels.
_LATENT_OF = {
    1: "a latent of their family, such as an empty audio latent",
    2: "a latent of images, such as Empty Latent Image",
    3: "a latent of their family, such as an empty video latent",
}


def score_prompt(
    experts: ExpertSet,
    positive: cond.Conditioning,
    latent: dict[str, Any],
    options: ScoreOptions,
    *,
    empty_prompt: cond.Conditioning | None = None,
    progress: Progress | None = None,
    calibration: Calibration | None = None,
    also: Sequence[Reading] = (),
) -> Scored:
    """Scores one prompt in a ComfyUI process.

    The node's progress bar moves with every model call, unless another `progress` is given. Calibrations made by other
    digests are proved on the way, once per process (`emoe_core.gating.proof`).

    Args:
        calibration: one more than the experts bring, for the report.
        also: more (tap, estimator) pairs to measure in the same pass; see `emoe_core.scoring.score.score_many`.

    Raises:
        EMoEError: any bad input, in one sentence.
    """
    run = Run.of(experts, latent, options, also)
    if not positive:
        raise _no_prompt()
    candidates = _candidates(experts, calibration)
    prover = run.prover(positive, empty_prompt)
    waiting = prover.waiting(candidates)
    shares = [prover.cost(one) for one in waiting]
    expected = run.expected()
    tell = progress or prices.told(_node_progress(), expected)
    for place, one in enumerate(waiting):
        prover.proofs([one], _part_of(tell, sum(shares[:place]), shares[place], sum(shares) + 1))
    proofs = prover.proofs(candidates)
    (scored,) = run.score([positive], empty_prompt, _part_of(tell, sum(shares), 1, sum(shares) + 1))
    if progress is None:
        prices.finished(scored.report.took, expected)
    return replace(scored, report=replace(scored.report, calibrations=candidates, proofs=proofs))


def _candidates(experts: ExpertSet, calibration: Calibration | None) -> tuple[Calibration, ...]:
    """The calibrations of a report: the one that was connected, and those that the experts bring."""
    return (*(() if calibration is None else (calibration,)), *experts.calibrations)


def score_list(
    experts: ExpertSet,
    prompts: Sequence[cond.Conditioning],
    latent: dict[str, Any],
    options: ScoreOptions,
    *,
    empty_prompt: cond.Conditioning | None = None,
    calibration: Calibration | None = None,
    also: Sequence[Reading] = (),
) -> list[Scored]:
    """`score_prompt` for each prompt, in blocks: every expert is loaded once per block instead of once per prompt. The
    node's progress bar counts prompts.

    Raises:
        EMoEError: as `score_prompt`.
    """
    if not all(prompts):
        raise _no_prompt()
    run, candidates = Run.of(experts, latent, options, also), _candidates(experts, calibration)
    bar, size = comfy.utils.ProgressBar(len(prompts)), min(run.prompts_a_block(), len(prompts))
    expected = prices.times(run.expected(size), math.ceil(len(prompts) / size))
    tell = prices.told(lambda *_: None, expected)
    proofs = [run.prover(prompt, empty_prompt).proofs(candidates) for prompt in prompts]  # made once, and then known
    found = []
    for one, proved in zip(run.in_blocks(prompts, empty_prompt), proofs, strict=True):
        found.append(replace(one, report=replace(one.report, calibrations=candidates, proofs=proved)))
        bar.update(1)
        tell(len(found), len(prompts), str(len(found)))
    if found:
        prices.finished(found[-1].report.took, expected)
    return found


def every_preset(
    experts: ExpertSet, positive: cond.Conditioning, empty_prompt: cond.Conditioning | None = None
) -> list[Reading]:
    """What all presets read, for `score_prompt`'s `also`; without the presets that these experts or this prompt cannot do."""
    told = _tells_more_than_nothing(experts, positive, empty_prompt)
    found = []
    for preset in PRESETS.values():
        reads = estimator(preset.estimator)
        if len(experts) < reads.minimum_experts or (reads.needs_empty and not told):
            continue
        with suppress(EMoEError):
            tap = resolve_tap(preset.tap, common_taps(experts))
            if reads.minimum_experts > 1:
                check_comparable(experts.experts, tap)
            found.append((tap, reads.name))
    return found


def _tells_more_than_nothing(
    experts: ExpertSet, positive: cond.Conditioning, empty_prompt: cond.Conditioning | None
) -> bool:
    """Whether there is an empty prompt for these experts, and the prompt says something else."""
    with suppress(EMoEError):
        empties = cond.empty_for_experts(experts, empty_prompt, positive)
        return not all(map(cond.same_words, cond.split(positive, experts), empties))
    return False


def score_prompts(
    experts: ExpertSet,
    prompts: Iterable[cond.Conditioning],
    latent: dict[str, Any],
    options: ScoreOptions,
    *,
    empty_prompt: cond.Conditioning | None = None,
    progress: Progress | None = None,
    brief: bool = False,
    also: Sequence[Reading] = (),
) -> Iterator[Scored]:
    """Scores many prompts, one `Scored` per prompt, in order.

    It is cheaper than `score_prompt` for each. Prompts are taken from the iterable in blocks (a generator may encode them
    on demand). Every expert is loaded once per block, and prompts of equal shape within it share network calls, all on the
    same noise. Prompts that cannot share one (other areas, other ControlNet, longer text) are still scored, in calls of
    their own. A score differs from that of `score_prompt` only by rounding.

    Store each result as it comes: an interrupt raises out of the loop and loses at most one block.
    `progress` counts from 0 in each block. `brief` leaves out the estimators that nobody asked for.

    Raises:
        EMoEError: any bad input, in one sentence; for problems of all prompts, at the first result.
    """
    yield from Run.of(experts, latent, options, also).in_blocks(prompts, empty_prompt, progress, brief)


@dataclass(frozen=True, eq=False)
class Run:
    """What all prompts of a run share, checked; made by `of`.

    Attributes:
        stages: the rule of a staged score.
        apart: see `ComfyProbe.apart`.
    """

    experts: ExpertSet
    samples: Tensor
    latent: str
    sigmas: Tensor
    noises: list[Tensor]
    noise_seed: int | None
    tap: str
    estimator: str
    also: tuple[Reading, ...]
    said: tuple[Message, ...] = ()
    stages: Stages | None = None
    apart: bool = False

    @classmethod
    def of(
        cls,
        experts: ExpertSet,
        latent: dict[str, Any],
        options: ScoreOptions,
        also: Sequence[Reading] = (),
    ) -> "Run":
        """Checks the request against the experts and the latent, and resolves the tap."""
        if len(experts) == 0:
            raise EMoEError("Uncertainty Score has no experts; connect Demo Experts, Load Experts or Add Expert.")
        samples = latent_samples(experts.experts[0].model, latent)
        if options.dtype is not None:
            experts = in_precision(experts, options.dtype)
        sigmas = _sigmas(experts, options)
        noises = _noises(samples, latent, options)
        has = common_taps(experts)
        readings = tuple((resolve_tap(where, has), estimator(name).name) for where, name in also)
        tap, estimator_name = options.reading
        seed = options.noise_seed if options.add_noise else None
        kind = _kind(samples, latent)
        said = () if latent.get("noise_mask") is None else (Message.of(Code.NOISE_MASK),)
        if options.stages is not None:
            _check_halves(experts, noises, estimator_name)
        tap = resolve_tap(tap, has)
        return cls(experts, samples, kind, sigmas, noises, seed, tap, estimator_name, readings, said, options.stages)

    def settings(self, positive: cond.Conditioning) -> Settings:
        """Everything that the score of this prompt depends on besides its text."""
        first = self.experts.experts[0]
        own = cond.is_per_expert(positive)
        return Settings(
            experts=tuple(expert.identity for expert in self.experts.experts),
            text_encoders=tuple(e.text_encoder_identity() for e in self.experts.experts) if own else SHARED,
            tap=self.tap,
            estimator=self.estimator,
            sigma=_rounded(self.sigmas[0]),
            noise_seed=self.noise_seed,
            noise_samples=len(self.noises),
            latent_shape=tuple(self.samples.shape[1:]),
            latent=self.latent,
            dtype=first.dtype,
            conditioning=cond.extras(positive),
            mode=self._mode(),
        )

    def _mode(self) -> str:
        if self.stages is not None:
            return self.stages.mode
        return MODE if isinstance(self.experts, MixtureSet) else "ensemble"

    def alone(self) -> "Run":
        """The same for one image, as calibrations are made."""
        return replace(self, samples=self.samples[:1], noises=[n[:1] for n in self.noises])

    def prompts_a_block(self) -> int:
        """Prompts that are scored together: several network calls' worth, so that a model is not loaded for each call.

        A transformer's hidden tokens are large, so there it is one call's worth.
        """
        calls = 1 if self.tap.startswith("block:") else CALLS_A_BLOCK
        units = calls * batching.units_a_call(self.samples)
        return max(1, min(PROMPTS_A_BLOCK, units // len(self.noises)))

    def prover(self, positive: cond.Conditioning, empty_prompt: cond.Conditioning | None) -> Prover:
        """What proves calibrations for a prompt's score."""
        return Prover(replace(self.alone(), also=()), self.settings(positive), positive, empty_prompt=empty_prompt)

    def in_blocks(
        self,
        prompts: Iterable[cond.Conditioning],
        empty_prompt: cond.Conditioning | None,
        progress: Progress | None = None,
        brief: bool = False,
    ) -> Iterator[Scored]:
        """Scores many prompts block by block, in order; see `score_prompts`."""
        waiting = iter(prompts)
        while block := list(itertools.islice(waiting, self.prompts_a_block())):
            yield from self.score(block, empty_prompt, progress or (lambda *_: None), brief)

    def score(
        self,
        prompts: list[cond.Conditioning],
        empty_prompt: cond.Conditioning | None,
        progress: Progress,
        brief: bool = False,
    ) -> list[Scored]:
        """Scores one block of prompts."""
        meter, begun = Meter(), time.perf_counter()
        if not all(prompts):
            raise _no_prompt()
        names = [self.estimator, *(name for _, name in self.also)]
        for prompt in prompts:
            check_areas(prompt, self.samples.shape[2:])
        needs_empty = any(estimator(name).needs_empty for name in names)
        if needs_empty and any(_around(prompt) != _around(prompts[0]) for prompt in prompts):
            # Additions by other nodes also go to the empty prompt, so these prompts have different empty prompts.
            return [scored for prompt in prompts for scored in self.score([prompt], empty_prompt, progress, brief)]
        empties = cond.empty_for_experts(self.experts, empty_prompt, prompts[0]) if needs_empty else None
        own = [cond.split(prompt, self.experts) for prompt in prompts]
        settings = [self.settings(prompt) for prompt in prompts]
        texts = [cond.prompt_text(prompt) for prompt in prompts]
        for text, prompt in zip(texts, own, strict=True):
            if empties is not None and all(map(cond.same_words, prompt, empties)):
                raise says_nothing(text, next(name for name in names if estimator(name).needs_empty))
        with torch.no_grad():
            given = self.given()
            if self.stages is not None:
                found = self._in_stages(self.stages, own, empties, settings, texts, progress, brief, meter)
            elif not isinstance(self.experts, MixtureSet):
                probe = ComfyProbe(self.experts, own, empties, *given, meter=meter)
                found = score_many(probe, self.experts, settings, texts, progress, self.also, brief)
            else:
                found = []
                for number, prompt in enumerate(own):  # its batch is full of paths already
                    mixture = MixtureProbe(self.experts, prompt, empties, *given, meter)
                    one = slice(number, number + 1)
                    found += score_many(mixture, self.experts, settings[one], texts[one], progress, self.also, brief)
        said = (*self.said, *patches.messages(self.experts))
        took = self._took(meter, time.perf_counter() - begun, len(prompts))
        return [_with_messages(scored, said, took) for scored in found]

    def expected(self, prompts: int = 1) -> tuple[float, float] | None:
        """Seconds that so many prompts together will take, at least and at most; None where nothing was measured."""
        kind, known = self._price_kind(prompts), prices.known()
        if self.stages is not None:
            return self._expected_in_stages(kind, prompts)
        names = [self.estimator, *(name for _, name in self.also)]
        empty = known.is_first(kind) and any(estimator(name).needs_empty for name in names)
        return known.expected(kind, planned(self._asked(), len(self.noises) * (prompts + empty)))

    def _expected_in_stages(self, kind: Kind, prompts: int) -> tuple[float, float] | None:
        """The least where the first stage decides everything, the most where it decides nothing."""
        (middle, early), who = halves(len(self.experts), len(self.noises)), self._asked()
        first = planned(who[:middle], early * prompts)
        second = planned(who[middle:], (len(self.noises) - early) * prompts)
        found = [prices.known().expected(kind, units) for units in (first, dict(Counter(first) + Counter(second)))]
        return None if found[0] is None or found[1] is None else (found[0][0], found[1][1])

    def _asked(self) -> list[str]:
        """Identities of the networks that are called."""
        experts = (self.experts.network,) if isinstance(self.experts, MixtureSet) else self.experts.experts
        return [expert.identity for expert in experts]

    def _price_kind(self, prompts: int) -> Kind:
        """What the price depends on."""
        first, has = self.experts.experts[0], common_taps(self.experts)
        staged = self.stages is not None
        return Kind(
            experts=short(self._asked()),
            tap=max((self.tap, *(tap for tap, _ in self.also)), key=has.index),
            shape=tuple(self.samples.shape),
            dtype=first.dtype,
            device=prices.device_of(first.model),
            mode="staged" if staged else MODE if isinstance(self.experts, MixtureSet) else ENSEMBLE,
            listed=prompts > 1,
        )

    def _took(self, meter: Meter, seconds: float, prompts: int) -> Took:
        """What this run took, which is remembered for the next."""
        kind = self._price_kind(prompts)
        prices.measured(kind, meter, seconds, self.estimator, len(self.noises))
        staged = self.stages is not None
        expected = self._expected_in_stages(kind, prompts) if staged else prices.known().expected(kind, meter.again())
        return meter.took(seconds, prompts, expected)

    def _in_stages(
        self,
        stages: Stages,
        own: list[list[cond.Conditioning]],
        empties: list[cond.Conditioning] | None,
        settings: list[Settings],
        texts: list[str],
        progress: Progress,
        brief: bool,
        meter: Meter,
    ) -> list[Scored]:
        """The prompts' staged scores; the second half of the experts is only asked where the first stage does not decide."""
        middle, early = halves(len(self.experts), len(self.noises))

        def half(which: list[int], experts: slice, noises: slice) -> list[Scored]:
            seed = None if self.noise_seed is None else _seeds(self.noise_seed, len(self.noises))[noises][0]
            asked = ExpertSet(self.experts.experts[experts])
            run = replace(self, experts=asked, noises=self.noises[noises], noise_seed=seed, stages=None, apart=True)
            probe = ComfyProbe(
                asked,
                [own[number][experts] for number in which],
                None if empties is None else empties[experts],
                *run.given(),
                apart=True,
                meter=meter,
            )
            # Of the settings, scoring reads tap, estimator and noise samples; the joined report has the whole score's.
            halved = [replace(settings[number], noise_samples=len(run.noises)) for number in which]
            tell = _part_of(progress, 0 if experts.start is None else 1, 1, 2)
            return score_many(probe, asked, halved, [texts[number] for number in which], tell, self.also, brief)

        first = half(list(range(len(own))), slice(None, middle), slice(None, early))
        doubtful = [
            number
            for number, scored in enumerate(first)
            if not all(stages.decides(item.score) for item in scored.report.items)
        ]
        second = (
            dict(zip(doubtful, half(doubtful, slice(middle, None), slice(early, None)), strict=True))
            if doubtful
            else {}
        )
        units = middle * early * (len(own) + (empties is not None))
        progress(2 * units, 2 * units, "")  # where the second stage was not needed, the first was all
        full = len(self.experts) * len(self.noises)
        made = stage_calls(len(self.experts), len(self.noises))
        names = tuple(expert.name for expert in self.experts.experts)
        files = tuple(expert.file for expert in self.experts.experts)
        found = []
        for number, (one, scored) in enumerate(zip(settings, first, strict=True)):
            whole = Report(one, (), names, files, (), calibrations=self.experts.calibrations)
            last = int(number in second)
            calls = StageCalls(1 + last, made[last], full)
            found.append(joined(scored, second.get(number), stages, whole, calls))
        return found

    def answers(
        self,
        prompts: list[cond.Conditioning],
        reading: Reading,
        progress: Progress,
        empty_prompt: cond.Conditioning | None = None,
    ) -> Taken:
        """What an ensemble's experts answer to one block of prompts, and to the empty prompt, before any estimator reads it.

        Raises:
            EMoEError: as `score`.
        """
        empties = cond.empty_for_experts(self.experts, empty_prompt, prompts[0])
        own = [cond.split(prompt, self.experts) for prompt in prompts]
        with torch.no_grad():
            probe = ComfyProbe(self.experts, own, empties, *self.given())
            return collect(probe, self.experts, len(self.noises), [reading], len(prompts), progress)

    def given(self) -> tuple[Tensor, list[Tensor], list[int], Tensor, str]:
        """What every probe of this run gets beside its prompts."""
        seeds = _seeds(self.noise_seed or 0, len(self.noises))
        key = _key(self.samples, self.noises, self.sigmas)
        return self.samples, self.noises, seeds, self.sigmas, f"{key}:apart" if self.apart else key


def _check_halves(experts: ExpertSet, noises: list[Tensor], estimator_name: str) -> None:
    """Raises an error where a staged score is not possible."""
    if isinstance(experts, MixtureSet):
        raise EMoEError(
            "A mixture is one network and cannot be scored in stages; use a calibration made without staged."
        )
    if estimator(estimator_name).minimum_experts < 2:
        raise EMoEError(
            f"The estimator '{estimator_name}' asks one expert, so there are no stages; use a calibration made without staged."
        )
    for what, count, fewest in (
        ("experts", len(experts), FEWEST_EXPERTS),
        ("noise samples", len(noises), FEWEST_SAMPLES),
    ):
        if count < fewest:
            raise EMoEError(
                f"A staged score takes at least {fewest} {what} and there are {count}; add more, or use a calibration made "
                "without staged."
            )


def _no_prompt() -> EMoEError:
    return EMoEError("Uncertainty Score's conditioning is empty; connect a prompt to the input 'positive'.")


def _with_messages(scored: Scored, messages: tuple[Message, ...], took: Took) -> Scored:
    return replace(scored, report=replace(scored.report, messages=(*scored.report.messages, *messages), took=took))


def _part_of(tell: Progress, before: int, share: int, whole: int) -> Progress:
    """The progress of one part of the work, in shares of the whole; unchanged if it is the whole."""
    if share == whole:
        return tell
    return lambda done, total, expert: tell(before * total + share * done, whole * total, expert)


def _around(prompt: cond.Conditioning) -> list[dict[str, Any]]:
    """What the empty prompt takes over from a prompt; objects by identity."""
    plain = (bool, int, float, str)
    return [
        {key: value if isinstance(value, plain) else id(value) for key, value in entry.items()}
        for entry in cond.beside_words(prompt)
    ]


def _node_progress() -> Progress:
    bar = comfy.utils.ProgressBar(1)
    return lambda done, total, expert: bar.update_absolute(done, total)


def latent_samples(model: ModelPatcher, latent: dict[str, Any]) -> Tensor:
    """The latent's samples as this model takes them, checked.

    Raises:
        EMoEError: the latent is of another family, or holds nothing that can be scored.
    """
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise EMoEError(
            "Uncertainty Score's latent_image is a nested latent (video with audio); EMoE scores single latents only."
        )
    inner = getattr(model.get_model_object("latent_format"), "latent_dimensions", 2)
    # If latents have time, ComfyUI adds it to those without.
    if samples.ndim != inner + 2 and not (inner == 3 and samples.ndim == 4):
        raise EMoEError(
            f"Uncertainty Score's latent_image has {samples.ndim} dimensions and the experts want {inner + 2}; connect "
            f"{_LATENT_OF.get(inner, 'an empty latent of their family')}."
        )
    if samples.shape[0] == 0:
        raise EMoEError("Uncertainty Score's latent_image is a batch of zero; set its batch_size to 1 or more.")
    samples = sampled_shape(model, samples, latent)
    wanted = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != wanted:
        raise EMoEError(
            f"Uncertainty Score's latent_image has {samples.shape[1]} channels and the experts want {wanted}; make it with the "
            "experts' own VAE or an empty latent of their family."
        )
    if not bool(torch.isfinite(samples).all()):
        raise EMoEError("Uncertainty Score's latent_image holds NaN or infinite values; look at the node that made it.")
    return samples


def _sigmas(experts: ExpertSet, options: ScoreOptions) -> Tensor:
    """The schedule from the scored step on, made from the first expert and checked against the others."""
    if options.sigma is not None:
        with suppress(EMoEError):  # the exact schedule if it has this level, because `sigma` is rounded
            sigmas = _sigmas(experts, replace(options, sigma=None))
            if _rounded(sigmas[0]) == options.sigma:
                return sigmas
        return torch.tensor([options.sigma, 0.0])
    scheduler, steps, at_step = options.scheduler, options.steps, options.at_step
    if scheduler not in SCHEDULERS:
        raise EMoEError(f"Uncertainty Score's scheduler is '{scheduler}'; the known ones are {', '.join(SCHEDULERS)}.")
    if options.sampler not in SAMPLERS:
        raise EMoEError(
            f"Uncertainty Score's sampler_name is '{options.sampler}'; the known ones are {', '.join(SAMPLERS)}."
        )
    schedules = [
        comfy.samplers.KSampler(on_processor(e.model), steps, torch.device("cpu"), options.sampler, scheduler).sigmas
        for e in experts.experts
    ]
    for expert, schedule in zip(experts.experts, schedules, strict=True):
        if schedule.shape != schedules[0].shape or not torch.allclose(schedule, schedules[0], rtol=1e-3):
            raise EMoEError(
                f"'{expert.name}' has another noise schedule than '{experts.experts[0].name}', so one step means different "
                "noise to them; use experts with one model sampling setting."
            )
    # beta and ddim_uniform make fewer steps than requested if the model has no more.
    count = max(len(schedules[0]) - 1, 1)
    if at_step >= count:
        raise EMoEError(
            f"Uncertainty Score's at_step is {at_step}, beyond the last of the {count} steps that scheduler '{scheduler}' makes "
            f"of {steps}; choose 0 to {count - 1}."
        )
    sigmas = schedules[0][at_step:]
    if float(sigmas[0]) <= 0:
        raise EMoEError(
            f"At at_step {at_step} of {steps} no noise is left, so nothing can be scored; choose an earlier step."
        )
    return sigmas


def _rounded(sigma: Tensor) -> float:
    return float(f"{float(sigma):.6g}")


def _kind(samples: Tensor, latent: dict[str, Any]) -> str:
    """What `Settings` says about the latent: the host draws different noise for items that were taken out of a batch."""
    kind = "given" if bool(torch.count_nonzero(samples)) else "empty"
    places = latent.get("batch_index")
    return kind if places is None or list(places) == list(range(len(samples))) else f"{kind}, batch_index {places}"


def _noises(samples: Tensor, latent: dict[str, Any], options: ScoreOptions) -> list[Tensor]:
    """Noise sample k is KSampler's noise for the seed plus k; a single sample of zeros where no noise is added."""
    if not options.add_noise:
        return [torch.zeros_like(samples, device="cpu")]
    seeds = _seeds(options.noise_seed, options.noise_samples)
    return [comfy.sample.prepare_noise(samples, seed, latent.get("batch_index")) for seed in seeds]


def _seeds(first: int, count: int) -> list[int]:
    """The seed of each noise sample; after the largest that the host takes comes 0."""
    return [(first + k) % 2**64 for k in range(count)]


def _key(samples: Tensor, noises: list[Tensor], sigmas: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in (samples, *noises, sigmas):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


_kept: weakref.WeakKeyDictionary[Expert, dict[str, Expert]] = weakref.WeakKeyDictionary()


def in_precision(experts: ExpertSet, dtype: str) -> ExpertSet:
    """The experts, computing in a type such as "float32"; unchanged if they do already, or if torch has no such type.

    Half precision alone moves scores by a tenth of their spread, so a calibration's own precision is used. The user's models
    do not change: clones of them compute in the other type. A mixture stays as it is.
    """
    known = getattr(torch, dtype, None)
    if type(experts) is not ExpertSet or not isinstance(known, torch.dtype):
        return experts
    if all(expert.dtype == dtype for expert in experts.experts):
        return experts
    return ExpertSet(tuple(_computing(expert, dtype, known) for expert in experts.experts), experts.calibrations)


def _computing(expert: Expert, dtype: str, known: torch.dtype) -> Expert:
    if expert.dtype == dtype:
        return expert
    made = _kept.setdefault(expert, {})
    if dtype not in made:
        log.debug("EMoE: '%s' computes in %s on a copy, as its calibration did", expert.name, dtype)
        model = expert.model.clone()
        model.set_model_compute_dtype(known)
        made[dtype] = replace(expert, model=model, dtype=dtype)
    return made[dtype]
