"""Experts made from other experts' weights, as they are found among public checkpoints: merges, copies, quantised files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Weights = dict[str, Tensor]


class Stored(dict[str, Tensor]):
    """Weights as a file of this type holds them."""

    def __init__(self, weights: Weights, kind: str) -> None:
        super().__init__(weights)
        self.kind = kind


#: Values of one scale in the 4- and 8-bit block formats of GGUF (Q4_0, Q8_0).
BLOCK = 32


def merge(one: Weights, other: Weights, share: float = 0.5) -> Weights:
    """(1 - share) one + share other."""
    return {name: torch.lerp(weight, other[name], share) for name, weight in one.items()}


def by_block(one: Weights, other: Weights, shares: Mapping[str, float]) -> Weights:
    """A merge with a share of its own for every kind of block; a name takes the first key that it contains."""

    def share(name: str) -> float:
        return next((value for key, value in shares.items() if key in name), 0.0)

    return {name: torch.lerp(weight, other[name], share(name)) for name, weight in one.items()}


#: What people do: one model's drawing, another's composition.
ENCODER_AND_DECODER = {"input_blocks": 0.0, "middle_block": 0.5, "output_blocks": 1.0}


def rounded(weights: Weights, how: Callable[[Tensor], Tensor]) -> Weights:
    """Every matrix and kernel in another precision."""
    found = {
        name: how(weight) if weight.dim() >= 2 and "embedding" not in name else weight
        for name, weight in weights.items()
    }
    return Stored(found, KINDS[how])


def fp8(weight: Tensor) -> Tensor:
    """e4m3 with one scale."""
    scale = weight.abs().max().clamp_min(1e-12) / 448
    return (weight / scale).to(torch.float8_e4m3fn).float() * scale


def q8_0(weight: Tensor) -> Tensor:
    """Eight bits, one scale for 32 values, as GGUF's Q8_0."""
    return _in_blocks(weight, lambda part: part.abs().amax(1, keepdim=True) / 127, -127, 127)


def q4_0(weight: Tensor) -> Tensor:
    """Four bits, one scale for 32 values, as GGUF's Q4_0: the largest value becomes -8."""

    def scale(part: Tensor) -> Tensor:
        largest = part.gather(1, part.abs().argmax(1, keepdim=True))
        return largest / -8

    return _in_blocks(weight, scale, -8, 7)


def _in_blocks(weight: Tensor, scale: Callable[[Tensor], Tensor], low: int, high: int) -> Tensor:
    flat = weight.flatten()
    part = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    step = scale(part).half().float()
    step = torch.where(step == 0, torch.ones_like(step), step)
    return ((part / step).round().clamp(low, high) * step).flatten()[: len(flat)].view_as(weight)


#: As an expert that was loaded from such a file names its type.
KINDS = {fp8: "scaled float8_e4m3fn", q8_0: "Q8_0", q4_0: "Q4_0"}


def noisy(weights: Weights, size: float, seed: int) -> Weights:
    """A near copy: every weight moved by `size` of its tensor's standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: weight + size * weight.std(correction=0) * torch.randn(weight.shape, generator=generator)
        for name, weight in weights.items()
    }


def low_rank(weights: Weights, base: Weights, rank: int) -> Weights:
    """The base and the difference from it, cut to a rank, as a LoRA that was extracted from a checkpoint."""

    def cut(name: str, weight: Tensor) -> Tensor:
        difference = (weight - base[name]).flatten(1)
        if rank >= min(difference.shape):
            return weight
        u, s, v = torch.linalg.svd(difference, full_matrices=False)
        return base[name] + (u[:, :rank] * s[:rank] @ v[:rank]).view_as(weight)

    return {
        name: cut(name, weight) if weight.dim() >= 2 and "embedding" not in name else weight
        for name, weight in weights.items()
    }


def half(weights: Weights) -> Weights:
    """As a file in half precision holds them."""
    return {name: weight.half().float() for name, weight in weights.items()}


def kinds(experts: list[Weights]) -> dict[str, Callable[[], list[Weights]]]:
    """Sets of experts by a label, made when asked for. `experts` are four fine-tunes of one base."""
    first, second, *_ = experts
    ring = [*experts[1:], experts[0]]
    found: dict[str, Callable[[], list[Weights]]] = {
        "four fine-tunes": lambda: experts,
        "three fine-tunes": lambda: experts[:3],
        "two fine-tunes": lambda: experts[:2],
        "each merged half with the first": lambda: [first, *(merge(one, first) for one in experts[1:])],
        "each with 0.8 of the first": lambda: [first, *(merge(one, first, 0.8) for one in experts[1:])],
        "a ring of merged pairs": lambda: [merge(a, b) for a, b in zip(experts, ring, strict=True)],
        "a ring merged by block": lambda: [
            by_block(a, b, ENCODER_AND_DECODER) for a, b in zip(experts, ring, strict=True)
        ],
        "two and their merge": lambda: [first, second, merge(first, second)],
        "four in fp8": lambda: [rounded(one, fp8) for one in experts],
        "four in 8 bits (Q8_0)": lambda: [rounded(one, q8_0) for one in experts],
        "four in 4 bits (Q4_0)": lambda: [rounded(one, q4_0) for one in experts],
        "one whole, three in 4 bits": lambda: [first, *(rounded(one, q4_0) for one in experts[1:])],
        "rank 4 from the first": lambda: [first, *(low_rank(one, first, 4) for one in experts[1:])],
        "rank 16 from the first": lambda: [first, *(low_rank(one, first, 16) for one in experts[1:])],
        "one and its fp8 copy": lambda: [first, rounded(first, fp8)],
        "one and its 4-bit copy": lambda: [first, rounded(first, q4_0)],
        "one and a near copy": lambda: [first, noisy(first, 0.01, 1)],
        "four, one of them twice": lambda: [*experts, rounded(first, fp8)],
    }
    return found


def state(net: Any) -> Weights:
    """A net's weights, in float32."""
    return {name: weight.detach().float() for name, weight in net.state_dict().items()}
