"""Estimators: from the experts' latents to one number per prompt.

Notation, as in the paper (arXiv 2505.13273, section 4): M experts, K noise samples, B batch items, D dimensions of the
latent; m is the prompt's latent, e the empty prompt's, s = m - e. Every estimator takes a `Measured` of [M, K, B, D] and gives
one value per noise sample and item, [K, B]. Higher always means less certain. docs/estimators.md says when to use which.

To add an estimator, write its function and one line in `ESTIMATORS`; nothing else in the pack names it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ..errors import EMoEError
from .variance import across_expert_variance, mean_square


@dataclass(frozen=True, eq=False)
class Measured:
    """The latents of one prompt at one tap.

    Attributes:
        prompt: [M, K, B, D].
        empty: the empty prompt's latents on the same noise, [M, K, B, D]; None where it was not measured.
        channel: the channel of each dimension, [D]; None makes every dimension its own channel.
    """

    prompt: Tensor
    empty: Tensor | None = None
    channel: Tensor | None = None


@dataclass(frozen=True)
class Estimator:
    """One way to turn latents into a score.

    Attributes:
        summary: one sentence for tooltips and docs.
        minimum_experts: 1 for the baselines that use no ensemble, else 2.
        needs_empty: whether the empty prompt's latents are needed too.
        compute: `Measured -> [K, B]`.
        layout: whether each channel's mean over the picture's places is subtracted first; the map does the same.
    """

    name: str
    summary: str
    minimum_experts: int
    needs_empty: bool
    compute: Callable[[Measured], Tensor]
    layout: bool = False


def _mean_variance(latents: Tensor) -> Tensor:
    """mean_d Var_i, [M, K, B, D] -> [K, B]."""
    return across_expert_variance(latents).mean(dim=-1)


def _variance(m: Measured) -> Tensor:
    """mean_d Var_i m: the paper's score (arXiv 2505.13273, section 4)."""
    return _mean_variance(m.prompt)


def _relative(m: Measured) -> Tensor:
    """mean_d Var_i m / mean_{i,d} m^2. Ours: free of the latent's scale, which differs between models and noise levels."""
    return _ratio(_mean_variance(m.prompt), mean_square(m.prompt), "relative", "the latent is zero everywhere")


def _centred(m: Measured) -> Tensor:
    """mean_d Var_i s. Ours: leaves out what the experts disagree on whatever the prompt says."""
    return _mean_variance(_shift(m))


def _centred_relative(m: Measured) -> Tensor:
    """mean_d Var_i s / mean_{i,d} s^2. Ours: `relative` for the prompt's own effect."""
    shift = _shift(m)
    return _ratio(_mean_variance(shift), mean_square(shift), "centred_relative", _NO_EFFECT)


def _centred_layout(m: Measured) -> Tensor:
    """mean_d Var_i t / mean_{i,d} t^2, where t is s minus the mean of s over the places of each channel.

    Ours: experts share an even shift of brightness or colour whether they know the prompt or not, so only what differs from
    place to place counts. The first expert is subtracted before the means, so that identical experts give exactly 0.
    """
    shift, channel = _shift(m), _channels(m)
    variance = _mean_variance(_levelled(shift - shift[:1], channel))
    return _ratio(variance, mean_square(_levelled(shift, channel)), "centred_layout", _NO_LAYOUT)


def levelled_shift(m: Measured) -> Tensor:
    """t of `centred_layout`, [M, K, B, D]: what the prompt changes from place to place."""
    return _levelled(_shift(m), _channels(m))


def exact_shift(m: Measured, layout: bool) -> Tensor:
    """s, or with `layout` t, in double precision, [M, K, B, D]."""
    shift = _shift(m)
    return _exactly_levelled(shift, _channels(m)) if layout else shift.double()


def _levelled(latents: Tensor, channel: Tensor) -> Tensor:
    return _exactly_levelled(latents, channel).float()


def _exactly_levelled(latents: Tensor, channel: Tensor) -> Tensor:
    """The latents minus each channel's mean over its places, in double precision so that a large mean costs no digits."""
    exact = latents.double()
    places = torch.bincount(channel).clamp_min(1)
    return exact - (_sum_by_channel(exact, channel) / places)[..., channel]


def _channels(m: Measured) -> Tensor:
    return torch.arange(m.prompt.shape[-1]) if m.channel is None else m.channel


def _sum_by_channel(values: Tensor, channel: Tensor) -> Tensor:
    """[..., D] -> [..., channels]"""
    found = values.new_zeros(*values.shape[:-1], int(channel.max()) + 1)
    return found.index_add(-1, channel, values)


def _cosine(m: Measured) -> Tensor:
    """Mean over pairs i < j of 1 - cos(m_i, m_j), the cosine distance.

    Computed as (|a-b|^2 - (|a|-|b|)^2) / (2 |a| |b|), because the plain form loses small angles.
    """
    latents = m.prompt.float()
    norms = latents.square().sum(dim=-1).sqrt()  # [M, K, B]
    pairs = []
    for i, j in combinations(range(len(latents)), 2):
        apart = latents[i] - latents[j]
        both = norms[i] * norms[j]
        longer = (apart * (latents[i] + latents[j])).sum(dim=-1) / (norms[i] + norms[j])
        angle = (apart.square().sum(dim=-1) - longer.square()).clamp_min(0)
        pairs.append(_ratio(angle, 2 * both, "cosine", "an expert's latent is zero everywhere"))
    return torch.stack(pairs).mean(dim=0)


def _whitened(m: Measured) -> Tensor:
    """mean_d Var_i m / v_c(d), where v_c is the variance of channel c in e, over experts, noise samples and places.

    Ours: a loud channel cannot drown the others, and the unit is the same for every prompt. Channels that never move in e
    are left out.
    """
    if m.empty is None:
        raise EMoEError(_NO_EMPTY)
    channel = _channels(m)
    scale = _channel_variance(m.empty, channel)[:, channel]  # [B, D]
    alive = scale > 0
    if not bool(alive.any(dim=-1).all()):
        raise _undefined("whitened", "the empty prompt's latent is the same everywhere")
    parts = across_expert_variance(m.prompt) / scale.where(alive, torch.inf)
    return parts.sum(dim=-1) / alive.sum(dim=-1)


def _channel_variance(latents: Tensor, channel: Tensor) -> Tensor:
    """Variance of each channel over experts, noise samples and places, [M, K, B, D] -> [B, channels]."""
    m = latents.double()
    place = torch.arange(len(channel))
    first = torch.zeros_like(channel).scatter_reduce(0, channel, place, "amin", include_self=False)[channel]
    m = m - m[:1, :1][..., first]  # subtract the channel's first place, so that a large offset costs no digits
    count = torch.bincount(channel) * m.shape[0] * m.shape[1]

    def mean(values: Tensor) -> Tensor:
        return _sum_by_channel(values.sum(dim=(0, 1)), channel) / count.clamp_min(1)

    centre = mean(m)[:, channel]
    return mean((m - centre).square()).float()


def _pairwise_mi(m: Measured) -> Tensor:
    """-1/M sum_i ln(1/M sum_j exp(-D_ij)), where D_ij = mean_d (m_i - m_j)^2.

    From Berry and Meger, arXiv 2308.13498, and Berry, Brando and Meger, UAI 2024 (DECU). Ours is the mean over dimensions: a
    sum over tens of thousands of them would put every prompt at ln M.
    """
    latents = m.prompt.float()
    rows = torch.stack([(latents - one).square().mean(dim=-1) for one in latents])  # [M, M, K, B]
    # ln of the mean over j without losing small distances: ln(1 + mean(exp(-D) - 1))
    return -torch.log1p(torch.expm1(-rows).mean(dim=1)).mean(dim=0)


def _response(m: Measured) -> Tensor:
    """1 / mean_d m_1^2: the baseline without an ensemble."""
    power = mean_square(m.prompt[:1])
    return _ratio(torch.ones_like(power), power, "response", "the first expert's latent is zero everywhere")


def _guidance(m: Measured) -> Tensor:
    """1 / mean_d s_1^2: the baseline without an ensemble, for the prompt's own effect."""
    power = mean_square(_shift(m)[:1])
    return _ratio(torch.ones_like(power), power, "guidance", _NO_EFFECT)


_NO_EFFECT = "the prompt gives the same prediction as the empty prompt"
_NO_LAYOUT = (
    "the prompt changes every channel evenly over the whole picture, so that nothing differs from place to place"
)
_NO_EMPTY = "This estimator compares the prompt with the empty prompt, and no empty prompt was measured."


def _shift(m: Measured) -> Tensor:
    if m.empty is None:
        raise EMoEError(_NO_EMPTY)
    return m.prompt.float() - m.empty.float()


def _ratio(top: Tensor, bottom: Tensor, name: str, why: str) -> Tensor:
    if bool((bottom <= 0).any()):
        raise _undefined(name, why)
    return top / bottom


def _undefined(name: str, why: str) -> EMoEError:
    return EMoEError(f"The estimator '{name}' is undefined here: {why}. Use another prompt or the preset 'paper'.")


ESTIMATORS: dict[str, Estimator] = {
    e.name: e
    for e in (
        Estimator("relative", "variance across experts over the mean square of the same latent", 2, False, _relative),
        Estimator("centred_relative", "as relative, of latent minus the empty prompt's", 2, True, _centred_relative),
        Estimator("variance", "the paper's: plain mean variance across experts", 2, False, _variance),
        Estimator("response", "no ensemble: 1 over the mean square of the first expert's latent", 1, False, _response),
        Estimator(
            "guidance",
            "no ensemble: 1 over the mean square of the first expert's prompt minus empty-prompt latent",
            1,
            True,
            _guidance,
        ),
        Estimator("centred", "as variance, of latent minus the empty prompt's", 2, True, _centred),
        Estimator("cosine", "1 minus the cosine between two experts' latents, mean over pairs", 2, False, _cosine),
        Estimator(
            "whitened", "as variance, in units of each channel's spread for the empty prompt", 2, True, _whitened
        ),
        Estimator("pairwise_mi", "for comparison: mutual information from pairwise distances", 2, False, _pairwise_mi),
        Estimator(
            "centred_layout",
            "as centred_relative, of what differs from place to place: each channel's mean is taken off",
            2,
            True,
            _centred_layout,
            layout=True,
        ),
    )
}


def estimator(name: str) -> Estimator:
    """The estimator with this name; an `EMoEError` that lists the known ones otherwise."""
    if name not in ESTIMATORS:
        raise EMoEError(f"There is no estimator '{name}'; the known ones are {', '.join(ESTIMATORS)}.")
    return ESTIMATORS[name]


def noise_as_experts(measured: Measured) -> Measured:
    """The experts' mean, with noise samples in the experts' place: [M, K, B, D] -> [K, 1, B, D].

    An estimator's value for it is that estimator's seed variance: its score if only the noise differed.
    """

    def turned(latents: Tensor) -> Tensor:
        return latents.float().mean(dim=0)[:, None]

    empty = None if measured.empty is None else turned(measured.empty)
    return Measured(turned(measured.prompt), empty, measured.channel)
