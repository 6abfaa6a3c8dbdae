"""Estimators: from the experts' latents to one number a prompt.

Notation, as in the paper (arXiv 2505.13273, section 4): M experts, K noise samples, B batch items, D dimensions of the
latent. Every function takes `prompt` and, where it needs it, `empty` (the same experts and noise on the empty prompt),
both float tensors of shape [M, K, B, D], and gives one value per noise sample and item, shape [K, B]. Higher always
means less certain.

To add an estimator, write its function and one line in `ESTIMATORS`; nothing else in the pack names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import EMoEError


@dataclass(frozen=True)
class Estimator:
    """One way to turn latents into a score.

    Attributes:
        summary: one sentence for tooltips and docs.
        minimum_experts: 1 for the baselines that use no ensemble, else 2.
        needs_empty: whether the empty prompt's latents are needed too.
        compute: `(prompt, empty) -> [K, B]`.
    """

    name: str
    summary: str
    minimum_experts: int
    needs_empty: bool
    compute: Callable[[Tensor, Tensor | None], Tensor]


def across_expert_variance(latents: Tensor) -> Tensor:
    """Unbiased variance across experts, Var_i m[i, k, b, d] with divisor M - 1; shape [K, B, D].

    The first expert is subtracted before the variance is taken: variance does not change under a shift, identical
    experts then give exactly 0 for any M, and a large common offset costs no digits.
    """
    latents = latents.float()
    return (latents - latents[:1]).var(dim=0, correction=1)


def mean_square(latents: Tensor) -> Tensor:
    """Mean over experts and dimensions of m squared; shape [K, B]."""
    return latents.float().square().mean(dim=(0, 3))


def _variance(prompt: Tensor, empty: Tensor | None) -> Tensor:
    return across_expert_variance(prompt).mean(dim=-1)


def _relative(prompt: Tensor, empty: Tensor | None) -> Tensor:
    return _ratio(_variance(prompt, None), mean_square(prompt), "relative", "the latent is zero everywhere")


def _centred_relative(prompt: Tensor, empty: Tensor | None) -> Tensor:
    shift = _difference(prompt, empty)
    why = "the prompt gives the same prediction as the empty prompt"
    return _ratio(_variance(shift, None), mean_square(shift), "centred_relative", why)


def _response(prompt: Tensor, empty: Tensor | None) -> Tensor:
    power = mean_square(prompt[:1])
    return _ratio(torch.ones_like(power), power, "response", "the first expert's latent is zero everywhere")


def _guidance(prompt: Tensor, empty: Tensor | None) -> Tensor:
    power = mean_square(_difference(prompt, empty)[:1])
    why = "the prompt gives the same prediction as the empty prompt"
    return _ratio(torch.ones_like(power), power, "guidance", why)


def _difference(prompt: Tensor, empty: Tensor | None) -> Tensor:
    if empty is None:
        raise EMoEError("This estimator compares the prompt with the empty prompt, and no empty prompt was measured.")
    return prompt.float() - empty.float()


def _ratio(top: Tensor, bottom: Tensor, name: str, why: str) -> Tensor:
    if bool((bottom <= 0).any()):
        raise EMoEError(f"The estimator '{name}' is undefined here: {why}. Use another prompt or the preset 'paper'.")
    return top / bottom


ESTIMATORS: dict[str, Estimator] = {
    e.name: e
    for e in (
        Estimator(
            "relative",
            "variance across experts over the mean square of the same latent: free of scale",
            2,
            False,
            _relative,
        ),
        Estimator(
            "centred_relative",
            "as relative, of each expert's latent minus its own for the empty prompt",
            2,
            True,
            _centred_relative,
        ),
        Estimator("variance", "the paper's: plain mean variance across experts", 2, False, _variance),
        Estimator(
            "response",
            "no ensemble: 1 over the mean square of the first expert's latent; the baseline",
            1,
            False,
            _response,
        ),
        Estimator(
            "guidance",
            "no ensemble: 1 over the mean square of the first expert's prompt minus empty-prompt latent",
            1,
            True,
            _guidance,
        ),
    )
}


def estimator(name: str) -> Estimator:
    """The estimator of that name; an `EMoEError` that lists the known ones otherwise."""
    try:
        return ESTIMATORS[name]
    except KeyError:
        raise EMoEError(f"There is no estimator '{name}'; the known ones are {', '.join(ESTIMATORS)}.") from None


@dataclass(frozen=True)
class Decomposition:
    """Law of total variance over experts and noise samples, each of shape [B], in the latent's own unit squared.

    Attributes:
        epistemic: mean_k mean_d Var_i, what the experts disagree on.
        seed: mean_d Var_k of the experts' mean, what the noise alone changes; None with a single noise sample.
            It says nothing of the world, only of the seed.
    """

    epistemic: Tensor
    seed: Tensor | None


def decompose(latents: Tensor) -> Decomposition:
    """Split the variance of `latents` [M, K, B, D] into its epistemic and its seed part.

    With one expert the epistemic part is 0.
    """
    experts, samples = latents.shape[:2]
    if experts > 1:
        epistemic = across_expert_variance(latents).mean(dim=(0, 2))
    else:
        epistemic = torch.zeros(latents.shape[2])
    seed = None
    if samples > 1:
        centre = latents.float().mean(dim=0)
        seed = (centre - centre[:1]).var(dim=0, correction=1).mean(dim=-1)
    return Decomposition(epistemic, seed)


def pairwise_distances(latents: Tensor) -> Tensor:
    """Mean squared distance between every two experts over their mean square, shape [M, M]; 0 on the diagonal.

    Tells which experts are near-identical and which one stands alone.
    """
    flat = latents.float().flatten(1)
    distance = torch.stack([(flat - row).square().mean(dim=1) for row in flat])
    scale = flat.square().mean()
    return distance / scale if float(scale) > 0 else distance


def summarise(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean over noise samples and its standard error, each of shape [B], from values of shape [K, B].

    The standard error is None with one sample: there is nothing to estimate it from.
    """
    samples = values.shape[0]
    mean = values.mean(dim=0)
    if samples == 1:
        return mean, None
    return mean, (values - values[:1]).std(dim=0, correction=1) / samples**0.5
