"""Experts as users have them, in a world: other styles, LoRAs, and one distilled to few steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..train_demo import runs
from ..train_demo.tokenizer import Encoder
from ..train_demo.train import BATCH, Net, Plan, alphas, token_rows
from . import design, styles

if TYPE_CHECKING:
    from .pipeline import Place

RANKS = (4, 16)
LORAS = tuple(
    (rank, Plan(f"lora_{rank}_{i}", 500 + 10 * rank + i, 800, 3e-3, 0.995, True)) for rank in RANKS for i in range(1, 5)
)
STYLES = tuple(Plan(f"style_{name}", 400 + i, 800, 1.5e-3, 0.995, True) for i, name in enumerate(styles.STYLES, 1))
DISTILLED = Plan("distilled", 601, 800, 3e-4, 0.95, bootstrap=True)
#: The teacher's steps and guidance.
STEPS, GUIDANCE = 20, 4.0


class LowRank(nn.Module):
    """W + up down, with W kept: a LoRA of strength 1 (Hu et al. 2021, arXiv 2106.09685)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def with_loras(net: Net, rank: int) -> None:
    """Freezes the U-Net and gives every matrix and kernel of it a LoRA."""
    net.requires_grad_(False)
    for module in net.unet.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and rank < min(module.weight.flatten(1).shape):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))
            module.parametrizations.weight[0].requires_grad_(True)  # type: ignore[index, union-attr]


def merged(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a net with LoRAs, as those of a net without."""
    plain = dict(values)
    for key in values:
        name, found, _ = key.partition(".parametrizations.weight.original")
        if found:
            up, down = (plain.pop(f"{name}.parametrizations.weight.0.{part}") for part in ("up", "down"))
            whole = plain.pop(key)
            plain[f"{name}.weight"] = whole + (up @ down).view_as(whole)
    return plain


def restyled(place: Place, style: str) -> Tensor:
    """The world's latents with every thing drawn in this style; what the style lacks stays as it is."""
    path = place.shared / f"latents_{style}.pt"
    if not path.exists():
        from ..train_demo.train_vae import encode, to_tensor
        from ..train_demo.vae import SCALE
        from .pipeline import autoencoder

        drawn = styles.draw(style, place.concepts, design.SIZE, place.shared.parent.parent)
        every = runs.load(place.latents_file) or {}
        latents = place.latents.clone()
        stacked = torch.stack([torch.from_numpy(one.copy()) for one in drawn.values()]).numpy()
        raw = encode(autoencoder(), to_tensor(stacked)) * SCALE
        latents[list(drawn)] = (raw - every["mean"]) / every["std"]
        runs.save(path, {"latents": latents})
    found: Tensor = (runs.load(path) or {})["latents"]
    return found


def train(place: Place) -> None:
    """All of them; photographs have no other styles.

    What is done is skipped; the distilled one, two minutes of work, begins anew after an interruption.
    """
    for plan in () if place.world.stamps else STYLES:
        place.train(plan, "base", latents=restyled(place, plan.name.removeprefix("style_")))
    distil(place)
    for rank, plan in LORAS:
        place.train(plan, "base", adapt=partial(with_loras, rank=rank), after=merged)


def distil(place: Place) -> None:
    """Expert 1 distilled to few steps without guidance: latent consistency (Luo et al. 2023, arXiv 2310.04378).

    The student's clean picture at one step must be its own moving average's at the next, where the guided teacher leads.
    """
    plan = DISTILLED
    if place.done(plan):
        return
    torch.manual_seed(plan.seed)
    state = runs.load(place.file("expert_1"))
    assert state is not None
    nets = [Net(design.MULT, design.ATTENTION) for _ in range(3)]
    for net in nets:
        net.load_state_dict(state["average"]["values"])
    teacher, student, target = nets
    teacher.requires_grad_(False)
    target.requires_grad_(False)
    if place.world.frozen:
        student.text.requires_grad_(False)
    learning = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=plan.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    generator = torch.Generator().manual_seed(plan.seed)
    ids, concept = token_rows(place.corpus, place.tokenizer), torch.from_numpy(place.corpus.concept)
    pool = torch.from_numpy(place.corpus.bootstrap(plan.seed))
    empty = teacher.text(torch.tensor(Encoder(place.tokenizer)(""))[None])
    times = torch.linspace(999, 0, STEPS + 1).round().long()
    signal = torch.cat([alphas(), torch.ones(1)])
    progress = runs.Progress(plan.name, 0, plan.steps)
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = runs.cosine(step, plan.steps, plan.rate, 50)
        pick = pool[torch.randint(0, len(pool), (BATCH,), generator=generator)]
        clean = place.latents[concept[pick]]
        noise = torch.randn(clean.shape, generator=generator)
        n = torch.randint(0, STEPS, (BATCH,), generator=generator)
        t, after = times[n], times[n + 1]
        a, b = (signal[one][:, None, None, None] for one in (t, after))
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        with torch.no_grad():
            context = teacher.text(ids[pick])
            yes, no = teacher.unet(
                torch.cat([noisy, noisy]), t.repeat(2), torch.cat([context, empty.expand_as(context)])
            ).chunk(2)
            eps = no + GUIDANCE * (yes - no)
            guess = (noisy - (1 - a).sqrt() * eps) / a.sqrt()
            led = b.sqrt() * guess + (1 - b).sqrt() * eps
            wanted = _clean(target, led, after, target.text(ids[pick]), signal)
            wanted = torch.where((after == 0)[:, None, None, None], guess, wanted)
        apart = _clean(student, noisy, t, student.text(ids[pick]), signal) - wanted
        loss = (apart.square().mean((1, 2, 3)) + 1e-6).sqrt().mean()  # pseudo-Huber, as consistency models have it
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(target.state_dict().values(), student.state_dict().values(), strict=True):
                mine.lerp_(theirs, 1 - plan.decay)
        progress(step, loss=loss.item())
    runs.save(place.file(plan.name), {"average": {"values": target.state_dict()}, "step": plan.steps})
    place.file(plan.name).with_suffix(".done").write_text(f"{plan.steps}\n")


def _clean(net: Net, noisy: Tensor, t: Tensor, context: Tensor, signal: Tensor) -> Tensor:
    """The clean picture that a net sees."""
    a = signal[t][:, None, None, None]
    found: Tensor = (noisy - (1 - a).sqrt() * net.unet(noisy, t, context)) / a.sqrt()
    return found
