"""Trains the base (from scratch) and the experts (from the base): U-Net and text encoder together.

Epsilon prediction on Stable Diffusion 1's noise schedule. The loss gives more weight to the noisy timesteps, where the text
decides. Steps decide when a run ends, never the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import runs
from .data import Corpus
from .text import TextEncoder
from .tokenizer import Encoder
from .unet import ATTENTION, MULT, UNet

BATCH = 32
TIMESTEPS = 1000
EMPTY = 0.10
"""Share of captions replaced by the empty one, for classifier-free guidance."""


@dataclass(frozen=True)
class Plan:
    """The differences of one run from another.

    Attributes:
        kept: steps after which the averaged net is also stored separately, to see the result of a shorter run.
    """

    name: str
    seed: int
    steps: int
    rate: float
    decay: float
    bootstrap: bool
    warm_up: int = 200
    kept: tuple[int, ...] = ()


BASE = Plan("base", 3, 4500, 1.0e-3, 0.998, bootstrap=False)
EXPERTS = tuple(Plan(f"expert_{i}", 100 + i, 1800, 1.5e-3, 0.995, bootstrap=True) for i in (1, 2, 3, 4))


class Net(nn.Module):
    """The parts of one expert."""

    def __init__(self, mult: Sequence[int] = MULT, attention: Sequence[bool] = ATTENTION) -> None:
        super().__init__()
        self.unet = UNet(mult, attention)
        self.text = TextEncoder()


def alphas() -> Tensor:
    """Cumulative signal share of the 1000 timesteps (scaled-linear betas, 0.00085 to 0.012)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS, dtype=torch.float64).square()
    return (1 - betas).cumprod(0).float()


def early(out: Path, step: int) -> Path:
    """Path of the averaged net of an earlier step of the run `out`."""
    return out.with_name(f"{out.stem}_at_{step}.pt")


def token_rows(corpus: Corpus, tokenizer: Path) -> Tensor:
    """Ids of every caption of the corpus."""
    encode = Encoder(tokenizer)
    table = {text: encode(text) for text in set(corpus.caption)}
    return torch.tensor([table[text] for text in corpus.caption])


def train(
    plan: Plan,
    corpus: Corpus,
    latents: Tensor,
    tokenizer: Path,
    out: Path,
    start: Path | None = None,
    make: Callable[[], Net] = Net,
    frozen_text: TextEncoder | None = None,
    adapt: Callable[[Net], None] | None = None,
) -> None:
    """Runs a plan to its last step; resumes from `out`. Latents are scaled (unit variance), one for each concept.

    With `frozen_text`, that encoder stays as it is, and only the U-Net learns. `adapt` changes what learns, before it begins.
    """
    torch.manual_seed(plan.seed)
    net = make()
    if frozen_text is not None:
        net.text.load_state_dict(frozen_text.state_dict())
        net.text.requires_grad_(False)
    if start is not None:
        parent = runs.load(start)
        if parent is None:
            raise SystemExit(f"{plan.name} starts from {start.name}, which is not there")
        net.load_state_dict(parent["average"]["values"])
    if adapt is not None:
        adapt(net)
    learning = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=plan.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    average = runs.Average(net, plan.decay)
    generator = torch.Generator().manual_seed(plan.seed)
    first, seconds = runs.resume(runs.load(out), net, optimizer, average, generator)
    ids, concept = token_rows(corpus, tokenizer), torch.from_numpy(corpus.concept)
    empty = torch.tensor(Encoder(tokenizer)(""))
    rows: NDArray[np.int64] = corpus.bootstrap(plan.seed) if plan.bootstrap else np.arange(len(concept))
    pool = torch.from_numpy(rows)
    signal = alphas()
    progress = runs.Progress(plan.name, first, plan.steps)
    for step in range(first, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = runs.cosine(step, plan.steps, plan.rate, plan.warm_up)
        pick = pool[torch.randint(0, len(pool), (BATCH,), generator=generator)]
        caption = ids[pick]
        caption[torch.rand(BATCH, generator=generator) < EMPTY] = empty
        clean = latents[concept[pick]]
        noise = torch.randn(clean.shape, generator=generator)
        t = torch.randint(0, TIMESTEPS, (BATCH,), generator=generator)
        a = signal[t][:, None, None, None]
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        error = (net.unet(noisy, t, net.text(caption)) - noise).square().mean((1, 2, 3))
        share = a.flatten()
        weight = ((1 - share) / share).clamp(1.0, 10.0)
        loss = (weight * error).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        average.update(net)
        progress(step, loss=loss.item(), eps=error.mean().item())
        if step + 1 in plan.kept:
            runs.save(early(out, step + 1), {"average": average.state(), "step": step + 1})
        if (step + 1) % 250 == 0 or step + 1 == plan.steps:
            runs.save(out, {
                "net": net.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state(),
                "generator": generator.get_state(), "step": step + 1, "seconds": seconds + progress.seconds,
            })  # fmt: skip
