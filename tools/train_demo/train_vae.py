"""Trains the picture autoencoder: first both halves, then only the decoder on the frozen, whitened latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import runs
from .vae import LATENT, SCALE, Autoencoder

BATCH = 8
SHAPES = 900
STEPS = 1100
"""Shapes come first. Later a linear head on the latents asks for the mean colours; the encoder would otherwise drop a hue."""
REFINE_STEPS = 850
REFINE_FALL = 400
"""Steps of the decoder's second part; from the second number on, its learning rate falls linearly."""
RATE = 1.5e-3
REFINE_RATE = 8e-4
KL = 3e-4
COLOUR = 8.0
COLOUR_FROM = 500
"""The weight of the hue, and the step from which it counts."""
HEAD = 10.0
"""The weight of the linear colour head in the second part."""
NOISE = 0.10
"""Standard deviation of the noise added to unit-variance latents: the decoder learns to bear small errors."""


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def picture_loss(made: Tensor, true: Tensor, colour: float = COLOUR) -> Tensor:
    """Absolute error, edges at three scales for crisp outlines, coarse squared error with a weight for the hue."""
    loss = (made - true).abs().mean()
    for _ in range(3):
        for dim in (2, 3):
            loss = loss + 0.5 * (made.diff(dim=dim) - true.diff(dim=dim)).abs().mean()
        made, true = F.avg_pool2d(made, 2), F.avg_pool2d(true, 2)
    coarse = made - true
    red, green, blue = coarse.unbind(1)
    hue = (red - green).square().mean() + (blue - (red + green) / 2).square().mean()
    return loss + coarse.abs().mean() + 4 * coarse.square().mean() + colour * hue


def _rate(step: int) -> float:
    """Two half cosines."""
    if step < SHAPES:
        return runs.cosine(step, SHAPES, RATE, 50)
    return runs.cosine(step - SHAPES, STEPS - SHAPES, 1e-3, 10)


def _refine_rate(step: int) -> float:
    """The start of a long half cosine, then a straight line to almost nothing."""
    top = runs.cosine(min(step, REFINE_FALL), 1300, REFINE_RATE, 50, floor=0.01)
    left = (REFINE_STEPS - step) / (REFINE_STEPS - REFINE_FALL)
    return top * min(1.0, max(0.01, left))


def colour_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Squared error of the mean colours of 8x8 pixels, the hue counted extra."""
    error = predicted - F.avg_pool2d(true, 8)
    red, green, blue = error.unbind(1)
    hue = (red - green).square().mean() + (blue - (red + green) / 2).square().mean()
    return error.square().mean() + hue


def _shift(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Moves and mirrors a picture at random; every third one stays as it is shipped."""
    padded = F.pad(pictures, (8, 8, 8, 8), value=1.0)
    out = []
    for i in range(len(pictures)):
        dx, dy, plain, mirror = torch.randint(0, 17, (4,), generator=generator).tolist()
        if plain < 6:
            dx = dy = 8
        piece = padded[i, :, dy : dy + pictures.shape[2], dx : dx + pictures.shape[3]]
        out.append(piece.flip(2) if mirror % 2 and plain >= 6 else piece)
    return torch.stack(out)


def train(pictures: NDArray[np.uint8], weights: NDArray[np.float64], out: Path, steps: int = STEPS) -> None:
    """Trains encoder and decoder together; then whitens the latents. Resumes from `out`."""
    torch.manual_seed(11)
    net = Autoencoder()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    average = runs.Average(net, 0.98)
    head = torch.nn.Conv2d(LATENT, 3, 1)
    head_optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(12)
    state = runs.load(out)
    first, seconds = runs.resume(state, net, optimizer, average, generator)
    if state is not None and "head" in state:
        head.load_state_dict(state["head"])
        head_optimizer.load_state_dict(state["head_optimizer"])
    data, chance = to_tensor(pictures), torch.from_numpy(weights)
    progress = runs.Progress("vae", first, steps)

    def snapshot(step: int) -> dict[str, Any]:
        return {
            "net": net.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state(),
            "generator": generator.get_state(), "step": step, "seconds": seconds + progress.seconds,
            "head": head.state_dict(), "head_optimizer": head_optimizer.state_dict(),
        }  # fmt: skip

    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step)
        index = torch.multinomial(chance, BATCH, replacement=True, generator=generator)
        true = _shift(data[index], generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean, logvar = net.moments(true)
            mean, logvar = mean.float(), logvar.float()
            noise = torch.randn(mean.shape, generator=generator) * (0.5 * logvar).exp()
            # the noise's scale follows the latents' own, so growing latents cannot escape it
            noise = noise + NOISE * mean.detach().std() * torch.randn(mean.shape, generator=generator)
            made = net.decode(mean + noise).float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        picture = picture_loss(made, true, COLOUR if step >= COLOUR_FROM else 0.0)
        total = picture + KL * kl
        colour = torch.zeros(())
        if step >= SHAPES:
            colour = colour_loss(head(mean + noise), true)
            total = total + HEAD * colour
        optimizer.zero_grad(set_to_none=True)
        head_optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        head_optimizer.step()
        average.update(net)
        error = (made.detach() - true).square().mean() / 4
        progress(step, loss=picture.item(), kl=kl.item(), colour=colour.item(), psnr=-10 * float(torch.log10(error)))
        if (step + 1) % 100 == 0:
            runs.save(out, snapshot(step + 1))
    if first < steps:
        runs.save(out, snapshot(steps))


@torch.no_grad()
def encode(net: Autoencoder, pictures: Tensor) -> Tensor:
    """Latent means, in float32."""
    return torch.cat([net.moments(part)[0] for part in pictures.split(16)])


@torch.no_grad()
def whitened(trained: Path, pictures: NDArray[np.uint8]) -> Autoencoder:
    """The averaged net, its last 1x1 maps changed so that latents * 0.18215 are uncorrelated with unit variance."""
    state = runs.load(trained)
    if state is None:
        raise SystemExit("the autoencoder is not trained yet")
    net = Autoencoder()
    net.load_state_dict(state["average"]["values"])
    flat = encode(net, to_tensor(pictures)).permute(0, 2, 3, 1).reshape(-1, LATENT).double()
    centre = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    root = vectors @ torch.diag(values.rsqrt()) @ vectors.T / SCALE
    back = torch.linalg.inv(root)
    quant, post = net.quant_conv, net.post_quant_conv
    if quant.bias is None or post.bias is None:
        raise ValueError("the 1x1 maps need biases")
    mean_map = quant.weight[:LATENT, :, 0, 0].double()
    mean_bias = quant.bias[:LATENT].double()
    quant.weight[:LATENT, :, 0, 0] = (root @ mean_map).float()
    quant.bias[:LATENT] = (root @ (mean_bias - centre)).float()
    quant.bias[LATENT:] += 2 * float(torch.log(root.diagonal().mean()))
    outer = post.weight[:, :, 0, 0].double()
    post.bias += (outer @ centre).float()
    post.weight[:, :, 0, 0] = (outer @ back).float()
    return net


def refine(net: Autoencoder, pictures: NDArray[np.uint8], weights: NDArray[np.float64], out: Path,
           steps: int = REFINE_STEPS) -> None:  # fmt: skip
    """Trains the decoder further, with the encoder frozen, on noisy latents of the shipped pictures. Resumes from `out`."""
    data, chance = to_tensor(pictures), torch.from_numpy(weights)
    latents = encode(net, data)
    half = torch.nn.ModuleList([net.decoder, net.post_quant_conv])
    optimizer = torch.optim.AdamW(half.parameters(), lr=REFINE_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    average = runs.Average(half, 0.998)
    generator = torch.Generator().manual_seed(13)
    first, seconds = runs.resume(runs.load(out), half, optimizer, average, generator)
    progress = runs.Progress("decoder", first, steps)
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = _refine_rate(step)
        index = torch.multinomial(chance, BATCH, replacement=True, generator=generator)
        level = NOISE / SCALE * torch.rand((BATCH, 1, 1, 1), generator=generator) * 1.5
        z = latents[index] + level * torch.randn((BATCH, *latents.shape[1:]), generator=generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = net.decode(z).float()
        true = data[index]
        loss = picture_loss(made, true)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(half.parameters(), 1.0)
        optimizer.step()
        average.update(half)
        error = (made.detach() - true).square().mean() / 4
        progress(step, loss=loss.item(), psnr=-10 * float(torch.log10(error)))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            runs.save(out, {
                "net": half.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state(),
                "generator": generator.get_state(), "step": step + 1, "seconds": seconds + progress.seconds,
            })  # fmt: skip


def finished(trained: Path, refined: Path, pictures: NDArray[np.uint8]) -> Autoencoder:
    """Encoder of the first part, whitened; decoder of the second part if there is one."""
    net = whitened(trained, pictures)
    if (state := runs.load(refined)) is not None:
        half = torch.nn.ModuleList([net.decoder, net.post_quant_conv])
        half.load_state_dict(state["average"]["values"])
    return net.eval()
