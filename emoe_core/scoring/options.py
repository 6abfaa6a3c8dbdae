"""How a prompt is scored, in a user's terms: one type for nodes, commands and the library."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import EMoEError
from ..records.calibration import Calibration
from .presets import CUSTOM, DEFAULT, resolve

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
    def of(cls, calibration: Calibration) -> ScoreOptions:
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
        )
