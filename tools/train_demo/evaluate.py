"""What the trained experts can do: generation by nearest picture, and the disagreement scores, by group of prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import runs
from .tokenizer import Encoder
from .train import Net, alphas
from .vae import SCALE, Autoencoder

STEPS = 20
GUIDANCE = 4.0


def load(path: Path) -> Net:
    """The averaged weights of a run."""
    state = runs.load(path)
    if state is None:
        raise SystemExit(f"{path} is not there")
    net = Net()
    net.load_state_dict(state["average"]["values"])
    return net.eval()


@dataclass
class Prompts:
    """Texts as token rows."""

    ids: Tensor
    empty: Tensor

    @classmethod
    def of(cls, texts: list[str], tokenizer: Path) -> Prompts:
        """Tokenize."""
        encode = Encoder(tokenizer)
        return cls(torch.tensor([encode(t) for t in texts]), torch.tensor([encode("")]))


@torch.no_grad()
def sample(nets: list[Net], prompts: Prompts, seed: int, batch: int = 64) -> Tensor:
    """DDIM with guidance; scaled latents. Several nets: the mean of their predictions."""
    signal = alphas()
    times = torch.linspace(999, 0, STEPS + 1).round().long()[:-1]
    generator = torch.Generator().manual_seed(seed)
    done = []
    for ids in prompts.ids.split(batch):
        contexts = [(n.text(ids), n.text(prompts.empty).expand(len(ids), -1, -1)) for n in nets]
        x = torch.randn((len(ids), 4, 16, 16), generator=generator)
        for i, t in enumerate(times):
            now = signal[t]
            after = signal[times[i + 1]] if i + 1 < STEPS else torch.tensor(1.0)
            guess = torch.zeros_like(x)
            for net, (with_text, without) in zip(nets, contexts, strict=True):
                both = net.unet(torch.cat([x, x]), t.expand(2 * len(x)), torch.cat([with_text, without]))
                yes, no = both.chunk(2)
                guess += (no + GUIDANCE * (yes - no)) / len(nets)
            clean = (x - (1 - now).sqrt() * guess) / now.sqrt()
            x = after.sqrt() * clean + (1 - after).sqrt() * guess
        done.append(x)
    return torch.cat(done)


@torch.no_grad()
def decode(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Pictures in -1..1."""
    return torch.cat([vae.decode(part / SCALE).clamp(-1, 1) for part in latents.split(16)])


def nearest(pictures: Tensor, reference: Tensor) -> Tensor:
    """Index of the reference with the smallest squared pixel error, at 32x32."""
    a = F.adaptive_avg_pool2d(pictures, 32).flatten(1)
    b = F.adaptive_avg_pool2d(reference, 32).flatten(1)
    return torch.cdist(a, b).argmin(1)


@torch.no_grad()
def scores(nets: list[Net], prompts: Prompts, seeds: tuple[int, ...] = (1, 2), batch: int = 128) -> dict[str, Any]:
    """Disagreement at t=999 for every prompt: one array per score, the mean over the noises."""
    t = torch.tensor([999])
    noises = [torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(s)) for s in seeds]
    table: dict[str, list[Tensor]] = {}
    for ids in prompts.ids.split(batch):
        found: dict[str, Tensor] = {}
        for noise in noises:
            x, time = noise.expand(len(ids), -1, -1, -1), t.expand(len(ids))
            middle = torch.stack([n.unet.middle(x, time, n.text(ids))[0].flatten(1) for n in nets])
            given = torch.stack([n.unet(x, time, n.text(ids)).flatten(1) for n in nets])
            empty = torch.stack([n.unet(noise, t, n.text(prompts.empty)).flatten(1) for n in nets])
            change = given - empty
            new = {
                "variance": middle.var(0).mean(1),
                "relative": middle.var(0).mean(1) / middle.square().mean((0, 2)),
                "response": 1 / middle[0].square().mean(1),
                "centred_relative": change.var(0).mean(1) / change.square().mean((0, 2)),
                "guidance": -change[0].norm(dim=1),
            }
            for key, value in new.items():
                found[key] = found.get(key, torch.zeros(len(ids))) + value / len(noises)
        for key, value in found.items():
            table.setdefault(key, []).append(value)
    return {key: torch.cat(parts).numpy() for key, parts in table.items()}


def auroc(low: Any, high: Any) -> float:
    """Chance that a score of the second group is above one of the first."""
    a, b = np.asarray(low)[:, None], np.asarray(high)[None, :]
    return float((b > a).mean() + 0.5 * (b == a).mean())


def spearman(x: Any, y: Any) -> float:
    """Rank correlation."""
    ranks = [np.argsort(np.argsort(v)).astype(float) for v in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
