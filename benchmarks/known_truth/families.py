"""Fine-tunes of one base in seconds: small nets that learn a random teacher, each from a resample of the data."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from .variants import Weights, half, state

WIDTH, DEPTH, ROWS = 48, 8, 512
BASE_STEPS, STEPS = 300, 150


def _net() -> nn.Module:
    return nn.Sequential(*(part for _ in range(DEPTH) for part in (nn.Linear(WIDTH, WIDTH), nn.SiLU())))


def _learn(net: nn.Module, inputs: torch.Tensor, wanted: torch.Tensor, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for _ in range(steps):
        pick = torch.randint(0, len(inputs), (32,), generator=generator)
        loss = (net(inputs[pick]) - wanted[pick]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def _named(net: nn.Module) -> Weights:
    """As a U-Net's file names its blocks, so that a merge may differ from block to block."""
    blocks = ("input_blocks", "middle_block", "output_blocks")
    return {
        f"{blocks[int(name.partition('.')[0]) * 3 // (2 * DEPTH)]}.{name}": weight
        for name, weight in state(net).items()
    }


def fine_tunes(count: int, seed: int = 0) -> Iterator[Weights]:
    """In half precision, as files are."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        teacher, base = _net(), _net()
        inputs = torch.randn(ROWS, WIDTH)
        with torch.no_grad():
            wanted = teacher(inputs) * 4
        _learn(base, inputs, wanted, BASE_STEPS, seed)
        for number in range(1, count + 1):
            net = _net()
            net.load_state_dict(base.state_dict())
            rows = torch.randint(0, ROWS, (ROWS,), generator=torch.Generator().manual_seed(seed + number))
            shifted = wanted[rows] + 0.3 * torch.randn(
                ROWS, WIDTH, generator=torch.Generator().manual_seed(-number % 999)
            )
            _learn(net, inputs[rows], shifted, STEPS, number)
            yield half(_named(net))
