"""Taps and presets, and the options of a score: where the latent is taken, which estimator reads it, and on which noise."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EMoEError
from ..records.calibration import Calibration
from .stages import Stages

#: Where the latent is taken, as a user chooses it.
TAPS: dict[str, str] = {
    "mid_out": "output of the U-Net's middle block (the paper's m_post); the decoder is skipped",
    "noise_pred": "the whole network's prediction; works for every model and for experts of unrelated lineage too",
    "mid_in": "input of the U-Net's middle block (the paper's m_pre)",
    "block": "output of one block of a diffusion transformer (SD3, Flux, ...), the middle one unless block_index says which",
}
#: "mid_out" for a U-Net; for a transformer, which has no middle block, the block in the middle of the stack.
MIDDLE = "middle"
NOISE_PRED = "noise_pred"
_BLOCK = "block:"


@dataclass(frozen=True)
class Preset:
    """A tap and an estimator that belong together."""

    tap: str
    estimator: str
    summary: str


PRESETS: dict[str, Preset] = {
    "fast": Preset(
        MIDDLE,
        "relative",
        "middle of the network, scale-free variance: the cheapest, a third to a half of one network call per expert",
    ),
    "thorough": Preset(
        NOISE_PRED,
        "centred_relative",
        "as layout, with even shifts of brightness and colour counted too; one network call per expert",
    ),
    "paper": Preset("mid_out", "variance", "the published score, plain variance at the middle block"),
    "one_model": Preset(
        NOISE_PRED,
        "guidance",
        "no ensemble: how little the prompt moves the first expert's noise prediction; one checkpoint is enough",
    ),
    "layout": Preset(
        NOISE_PRED,
        "centred_layout",
        "the best founded: noise prediction minus the empty prompt's, without even shifts of brightness and colour; one "
        "network call per expert",
    ),
}
CUSTOM = "custom"
#: The best founded preset: see docs/validity.md.
DEFAULT = "layout"


def resolve(preset: str, tap: str, estimator_name: str) -> tuple[str, str]:
    """The (tap, estimator) of a preset; with 'custom', the two given names after checking that they exist.

    The tap may still be one that only a model can resolve ('middle', 'block'): see `resolve_tap`.
    """
    if preset in PRESETS:
        chosen = PRESETS[preset]
        return chosen.tap, chosen.estimator
    if preset != CUSTOM:
        raise EMoEError(f"There is no preset '{preset}'; the known ones are {', '.join(PRESETS)} and {CUSTOM}.")
    if tap not in (*TAPS, MIDDLE) and not tap.startswith(_BLOCK):
        raise EMoEError(f"There is no tap '{tap}'; the known ones are {', '.join(TAPS)}.")
    from .estimators import estimator  # here, so that the commands' help does not wait for torch

    return tap, estimator(estimator_name).name


def is_hidden(tap: str) -> bool:
    """Whether the tap is inside the network. Hidden features are comparable only between descendants of one base."""
    return tap != NOISE_PRED


def resolve_tap(wanted: str, taps: Sequence[str], who: str = "These experts") -> str:
    """The tap meant by `wanted`, out of those a model has.

    'middle' is the U-Net's `mid_out`, or else the middle block; 'block' is the middle block, the one after which half of
    the stack (rounded up) has run; 'block:7' is block 7, counted from 0 through all kinds of blocks of the stack.

    Raises:
        EMoEError: the model has no such tap; the message lists those it has.
    """
    blocks = [tap for tap in taps if tap.startswith(_BLOCK)]
    if wanted == MIDDLE and "mid_out" in taps:
        return "mid_out"
    if wanted in (MIDDLE, "block") and blocks:
        return blocks[(len(blocks) - 1) // 2]
    if wanted in taps:
        return wanted
    raise EMoEError(f"{who} have no tap '{wanted}'; they have {listed(taps)}. {_advice(wanted, taps)}")


def listed(taps: Sequence[str]) -> str:
    """The taps for a person, with a run of blocks as 'block:0 to block:23'."""
    blocks = [tap for tap in taps if tap.startswith(_BLOCK)]
    run = [blocks[0] if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"] if blocks else []
    return ", ".join([*run, *(tap for tap in taps if not tap.startswith(_BLOCK))])


def _advice(wanted: str, taps: Sequence[str]) -> str:
    if any(tap == "mid_out" or tap.startswith(_BLOCK) for tap in taps):
        return "Choose the preset fast, which takes the middle of any network, or one of these taps."
    return f"Choose the preset {DEFAULT}."


MOST_NOISE_SAMPLES = 64


class BadOption(EMoEError):
    """An option with an impossible value; the message begins with the option's name."""


@dataclass(frozen=True)
class ScoreOptions:
    """How a prompt is scored, in the terms of Uncertainty Score.

    For given experts the options become a `records.settings.Settings`.

    Attributes:
        preset: a key of `PRESETS`, or "custom" for `tap` and `estimator`.
        tap, estimator: with preset "custom", where the latent is taken and how it is read.
        add_noise: off for a latent that already has its noise, as in KSamplerAdvanced.
        noise_seed, noise_samples: noise sample k is made from noise_seed + k.
        steps, scheduler, at_step: the noise level, as in KSampler. Step 0 is pure noise. The host decides which schedulers
            exist.
        sampler: the one that a latent in mid-generation comes from; some leave out the step before the last.
        size: width and height of the picture in pixels, where no latent gives it; None for the experts' own.
        sigma: a calibration's noise level, rounded to 6 digits; it overrides steps, scheduler and at_step.
        dtype: the type to compute in, such as "float32"; None leaves it to the host.
        stages: score in two stages by this rule; None for all experts on all noise samples.

    Raises:
        EMoEError: an unknown preset, tap or estimator.
        BadOption: a number out of range.
    """

    preset: str = DEFAULT
    tap: str = "mid_out"
    estimator: str = "relative"
    add_noise: bool = True
    noise_seed: int = 0
    noise_samples: int = 2
    steps: int = 20
    scheduler: str = "normal"
    at_step: int = 0
    sampler: str = "euler"
    size: tuple[int, int] | None = None
    sigma: float | None = None
    dtype: str | None = None
    stages: Stages | None = None

    def __post_init__(self) -> None:
        resolve(self.preset, self.tap, self.estimator)
        if self.add_noise and not 1 <= self.noise_samples <= MOST_NOISE_SAMPLES:
            raise BadOption(f"noise_samples is {self.noise_samples}; choose 1 to {MOST_NOISE_SAMPLES}.")
        if self.sigma is None and not 0 <= self.at_step < self.steps:
            last = self.steps - 1
            raise BadOption(f"at_step is {self.at_step}, beyond the last of {self.steps} steps; choose 0 to {last}.")

    @property
    def reading(self) -> tuple[str, str]:
        """The tap and the estimator; the tap may still be one that only a model can resolve."""
        return resolve(self.preset, self.tap, self.estimator)

    @classmethod
    def of(cls, calibration: Calibration) -> "ScoreOptions":
        """The options that a calibration was made with."""
        made = calibration.settings
        return cls(
            preset=CUSTOM,
            tap=made.tap,
            estimator=made.estimator,
            add_noise=made.noise_seed is not None,
            noise_seed=made.noise_seed or 0,
            noise_samples=made.noise_samples,
            sigma=made.sigma,
            dtype=made.dtype,
            stages=Stages.of_mode(made.mode),
        )
