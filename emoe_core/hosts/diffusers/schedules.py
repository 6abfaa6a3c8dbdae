"""Noise levels: those a model was trained on, and those that a scheduler chooses among them.

diffusers counts time in training steps, and each of its samplers scales latents in its own way. The score needs neither: it
needs one noise level sigma with x = x0 + sigma * noise (Karras et al., arXiv 2206.00364, table 1), and the same sigma
as ComfyUI for the same settings (scheduler, steps, at_step). So the schedules are written out here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import EMoEError

#: The configuration of Stable Diffusion 1 and XL, for networks without a scheduler.
STABLE_DIFFUSION = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
#: What the network predicts, in the other host's terms.
EPS, V_PREDICTION, SAMPLE, FLOW = "EPS", "V_PREDICTION", "X0", "CONST"
_PREDICTIONS = {"epsilon": EPS, "v_prediction": V_PREDICTION, "sample": SAMPLE}
#: alpha-bar of the last step if a schedule is rescaled to end in pure noise; not 0, which would make sigma infinite.
_ZERO_TERMINAL = 4.8973451890853435e-08


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The noise levels of a model's training, and what its network's output means.

    Attributes:
        sigmas: ascending float32, one per training step.
        logs: their logarithms, rounded to float32 once.
        prediction: EPS, V_PREDICTION, SAMPLE or FLOW.
        shift: `t -> sigma` of flow models, on (0, 1]; None for the others.
        time_scale: the network's time per unit of sigma, for flow models.
    """

    sigmas: Tensor
    logs: Tensor
    prediction: str
    shift: Callable[[Tensor], Tensor] | None = None
    time_scale: float = 1.0

    @property
    def highest(self) -> float:
        return float(self.sigmas[-1])

    @property
    def lowest(self) -> float:
        return float(self.sigmas[0])

    def time(self, sigma: float) -> Tensor:
        """The network's time at a noise level, a scalar: the nearest training step, or sigma itself for flow models."""
        value = torch.tensor(sigma)
        if self.shift is not None:
            return value * self.time_scale
        return (value.log() - self.logs).abs().argmin().float()

    def sigma_at(self, time: Tensor) -> float:
        """Noise level between training steps: linear in log sigma."""
        if self.shift is not None:
            return float(self.shift(time / self.time_scale))
        time = time.float().clamp(0, len(self.logs) - 1)
        low, high, part = time.floor().long(), time.ceil().long(), time.frac()
        return float(((1 - part) * self.logs[low] + part * self.logs[high]).exp())

    def noisy(self, noise: Tensor, sigma: float) -> Tensor:
        """An empty latent with noise of this level; at the highest level its variance is that of training, 1 + sigma^2."""
        if self.prediction == FLOW:
            return noise * sigma
        at_top = math.isclose(self.highest, sigma, rel_tol=1e-5) or sigma > self.highest
        return noise * (math.sqrt(1 + sigma**2) if at_top else sigma)

    def network_input(self, x: Tensor, sigma: float) -> Tensor:
        """The noisy latent as the network was trained to see it: with unit variance, or unchanged for flow models."""
        return x if self.prediction == FLOW else x / math.sqrt(sigma**2 + 1)

    def noise_prediction(self, output: Tensor, x: Tensor, sigma: float) -> Tensor:
        """(x - x0) / sigma from the network's output: the noise, or the velocity of a flow model."""
        if self.prediction in (EPS, FLOW):
            return output
        if self.prediction == V_PREDICTION:
            return output / math.sqrt(sigma**2 + 1) + x * (sigma / (sigma**2 + 1))
        return (x - output) / sigma


def discrete(config: Mapping[str, Any], where: str) -> NoiseLevels:
    """The levels of a model trained with betas, from the configuration of any of its schedulers.

    Raises:
        EMoEError: the configuration names an unknown schedule or prediction type.
    """
    alphas_bar = torch.cumprod(1 - _betas(config, where), dim=0)
    sigmas = ((1 - alphas_bar) / alphas_bar).sqrt()
    if config.get("rescale_betas_zero_snr"):
        sigmas = _zero_terminal(sigmas)
    kind = str(config.get("prediction_type") or "epsilon")
    if kind not in _PREDICTIONS:
        raise EMoEError(
            f"The scheduler of {where} has the prediction type '{kind}'; known are {', '.join(_PREDICTIONS)}."
        )
    return NoiseLevels(sigmas.float(), sigmas.log().float(), _PREDICTIONS[kind])


def _betas(config: Mapping[str, Any], where: str) -> Tensor:
    count = int(config.get("num_train_timesteps") or 1000)
    start, end = (float(config.get(key) or value) for key, value in (("beta_start", 0.0001), ("beta_end", 0.02)))
    given, kind = config.get("trained_betas"), config.get("beta_schedule") or "linear"
    if given is not None:
        return torch.tensor(given, dtype=torch.float64)
    if kind == "linear":
        return torch.linspace(start, end, count, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2
    if kind == "squaredcos_cap_v2":  # Nichol and Dhariwal, arXiv 2102.09672, equation 17
        steps = torch.arange(count + 1, dtype=torch.float64) / count
        bar = ((steps + 0.008) / 1.008 * math.pi / 2).cos() ** 2
        return (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
    raise EMoEError(
        f"The scheduler of {where} has the beta schedule '{kind}'; known are linear, scaled_linear and squaredcos_cap_v2."
    )


def _zero_terminal(sigmas: Tensor) -> Tensor:
    """The schedule rescaled to end in pure noise (Lin et al., arXiv 2305.08891, algorithm 1)."""
    root = (1 / (sigmas**2 + 1)).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    bar = ((root - last) * first / (first - last)) ** 2
    bar[-1] = _ZERO_TERMINAL
    return ((1 - bar) / bar).sqrt()


def shifted_flow(shift: float, steps: int = 1000) -> NoiseLevels:
    """Flow matching with a constant shift (Stable Diffusion 3: Esser et al., arXiv 2403.03206, equation 23)."""

    def at(time: Tensor) -> Tensor:
        return time if shift == 1 else shift * time / (1 + (shift - 1) * time)

    sigmas = at(torch.arange(1, steps + 1) / steps)
    return NoiseLevels(sigmas, sigmas.log(), FLOW, at, 1000.0)


def exponential_flow(shift: float, steps: int = 10000) -> NoiseLevels:
    """Flow matching with an exponential shift, like Flux's; its network takes sigma itself as time."""

    def at(time: Tensor) -> Tensor:
        return math.exp(shift) / (math.exp(shift) + (1 / time - 1))

    sigmas = at(torch.arange(1, steps + 1) / steps)
    return NoiseLevels(sigmas, sigmas.log(), FLOW, at, 1.0)


# --- schedulers: which levels a sampler visits ------------------------------------------------------------------------


def _even_steps(levels: NoiseLevels, steps: int, leave_out_last: bool) -> list[float]:
    """Even in the network's time."""
    first, last = (float(levels.time(sigma)) for sigma in (levels.highest, levels.lowest))
    if leave_out_last:
        return [levels.sigma_at(time) for time in torch.linspace(first, last, steps + 1)[:-1]] + [0.0]
    if math.isclose(levels.sigma_at(torch.tensor(last)), 0, abs_tol=1e-5):
        return [levels.sigma_at(time) for time in torch.linspace(first, last, steps + 1)]
    return [levels.sigma_at(time) for time in torch.linspace(first, last, steps)] + [0.0]


def _simple(levels: NoiseLevels, steps: int) -> list[float]:
    stride = len(levels.sigmas) / steps
    return [float(levels.sigmas[-1 - int(index * stride)]) for index in range(steps)] + [0.0]


def _ddim_uniform(levels: NoiseLevels, steps: int) -> list[float]:
    end = [0.0]
    if math.isclose(float(levels.sigmas[1]), 0, abs_tol=1e-5):
        steps, end = steps + 1, []
    stride = max(len(levels.sigmas) // steps, 1)
    return [float(sigma) for sigma in levels.sigmas[1::stride].flip(0)] + end


def _karras(levels: NoiseLevels, steps: int) -> list[float]:
    """Karras et al., arXiv 2206.00364, equation 5, rho 7."""
    low, high = levels.lowest ** (1 / 7), levels.highest ** (1 / 7)
    return [float(sigma) for sigma in (high + torch.linspace(0, 1, steps) * (low - high)) ** 7] + [0.0]


def _exponential(levels: NoiseLevels, steps: int) -> list[float]:
    even = torch.linspace(math.log(levels.highest), math.log(levels.lowest), steps)
    return [float(sigma) for sigma in even.exp()] + [0.0]


def _kl_optimal(levels: NoiseLevels, steps: int) -> list[float]:
    """Even in arctan sigma: Sabour, Fidler and Kreis, "Align Your Steps", arXiv 2404.14507, theorem 3.1."""
    part = torch.arange(steps, dtype=torch.float) / max(steps - 1, 1)
    angle = part * math.atan(levels.lowest) + (1 - part) * math.atan(levels.highest)
    return [float(sigma) for sigma in angle.tan()] + [0.0]


def _beta(levels: NoiseLevels, steps: int) -> list[float]:
    """Quantiles of Beta(0.6, 0.6): Lee et al., arXiv 2407.12173."""
    try:
        from scipy.stats import beta
    except ImportError as error:
        raise EMoEError("The scheduler 'beta' needs scipy; install it, or choose another scheduler.") from error
    import numpy as np

    places = np.rint(beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6) * (len(levels.sigmas) - 1))
    return [float(levels.sigmas[int(place)]) for place in dict.fromkeys(places.tolist())] + [0.0]


def _linear_quadratic(levels: NoiseLevels, steps: int) -> list[float]:
    """1 - sigma rises linearly to 0.025 over half the steps, then as a parabola to 1 (Mochi 1's schedule)."""
    knee, half = 0.025, steps // 2
    if steps == 1:
        return [levels.highest, 0.0]
    rest, slope = steps - half, knee / half
    bend = (1 - knee - slope * rest) / rest**2  # the parabola starts at the knee with the line's slope and ends at 1
    falls = [
        slope * index if index < half else knee + slope * (index - half) + bend * (index - half) ** 2
        for index in range(steps + 1)
    ]
    return [float(sigma) for sigma in (1 - torch.tensor(falls, dtype=torch.float64)).float() * levels.highest]


SCHEDULERS: dict[str, Callable[[NoiseLevels, int], list[float]]] = {
    "simple": _simple,
    "sgm_uniform": lambda levels, steps: _even_steps(levels, steps, leave_out_last=True),
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "normal": lambda levels, steps: _even_steps(levels, steps, leave_out_last=False),
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _kl_optimal,
}


def sigma_of_step(levels: NoiseLevels, scheduler: str, steps: int, at_step: int) -> float:
    """The noise level at which step `at_step` (from 0) of `steps` starts.

    Raises:
        EMoEError: an unknown scheduler, a step beyond the last, or one where no noise is left.
    """
    if scheduler not in SCHEDULERS:
        raise EMoEError(f"There is no scheduler '{scheduler}'; the known ones are {', '.join(SCHEDULERS)}.")
    if not 1 <= steps <= 10000:
        raise EMoEError(f"steps is {steps}; choose 1 to 10000.")
    if not 0 <= at_step < steps:
        raise EMoEError(f"at_step is {at_step}, beyond the last of {steps} steps; choose 0 to {steps - 1}.")
    sigmas = torch.tensor(SCHEDULERS[scheduler](levels, steps))
    sigma = float(sigmas[at_step]) if at_step < len(sigmas) else 0.0
    if not sigma > 0:
        raise EMoEError(
            f"At at_step {at_step} of {steps} no noise is left, so nothing can be scored; choose an earlier step."
        )
    return sigma
