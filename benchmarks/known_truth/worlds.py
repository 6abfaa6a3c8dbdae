"""Worlds trained by `tools.worlds`, measured with the same estimators on plain torch nets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.train_demo import runs
from tools.train_demo.evaluate import GUIDANCE, STEPS
from tools.train_demo.sources import prepare
from tools.train_demo.tokenizer import Encoder
from tools.train_demo.train import Net, alphas
from tools.worlds import design
from tools.worlds.pipeline import Place, autoencoder

from . import columns, prompts
from .pictures import Drawn, judge

SEEDS = (0, 1)
FIRST_STEP = 999
BATCH = 128


class TorchProbe:
    """Implements `emoe_core.probe.Probe` on nets of the demo's shape."""

    taps = ("mid_in", "mid_out", "noise_pred")

    def __init__(self, nets: Sequence[Net], ids: Tensor, empty: Tensor, noises: list[Tensor]) -> None:
        self.nets, self.ids, self.empty, self.noises = nets, ids, empty, noises

    @torch.no_grad()
    def latents(self, request: Any, advance: Callable[[int], None]) -> list[dict[str, list[Tensor]]]:
        """See the protocol."""
        net = self.nets[request.expert]
        ids = self.empty[None] if request.empty else self.ids
        found: list[dict[str, list[Tensor]]] = []
        for part in ids.split(BATCH):
            context = net.text(part)
            passes = [_forward(net, noise.expand(len(part), -1, -1, -1), context) for noise in self.noises]
            for row in range(len(part)):
                found.append({tap: [torch.stack([p[tap][row : row + 1] for p in passes])] for tap in request.taps})
            advance(len(part) * len(self.noises))
        return found


def _forward(net: Net, x: Tensor, context: Tensor) -> dict[str, Tensor]:
    """One pass at the first step, with all its taps."""
    unet = net.unet
    t = torch.full((len(x),), FIRST_STEP)
    kept: dict[str, Tensor] = {}
    handle = unet.middle_block[0].register_forward_pre_hook(lambda _, args: kept.update(mid_in=args[0]))
    after = unet.middle_block[-1].register_forward_hook(lambda _, __, out: kept.update(mid_out=out))
    try:
        kept["noise_pred"] = unet(x, t, context)
    finally:
        handle.remove()
        after.remove()
    return kept


def trained(cache: Path) -> list[Place]:
    """Places of the cache whose training has begun, in order."""
    sources = prepare(cache)
    found = []
    for folder in sorted((cache / "worlds").glob("split_*")):
        for name, world in design.WORLDS.items():
            if (folder / name / "base.done").exists():
                found.append(Place(sources, cache / "worlds", world, design.Split(int(folder.name.split("_")[1]))))
    return found


class WorldSource:
    """A trained world under a split: prompts, scores, pictures."""

    def __init__(self, core: ModuleType, place: Place) -> None:
        self.core, self.place = core, place
        self.name = f"world {place.world.name}, split {place.split.index}"
        self.truth: dict[str, Any] = json.loads((place.folder / "ground_truth.json").read_text("utf-8"))
        self.lists: dict[str, list[str]] = json.loads((place.folder / "prompts.json").read_text("utf-8"))
        self.encode = Encoder(place.tokenizer)

    def prompts(self, most: int) -> list[prompts.Prompt]:
        """At most `most` of every group."""
        return prompts.collect(self.truth, self.lists, self._tokens, most)

    def sets(self) -> dict[str, list[str]]:
        """Sets of experts whose training is done, by a label.

        `base_N`: fine-tuned from one base; `early_S`: four of these, stopped after S steps; `near_copy_2`: one of them and
        a near copy; `independent_N`: of their own seeds, with no base in common.
        """
        done = [plan.name for plan in design.EXPERTS if self.place.done(plan)]
        found = {f"base_{count}": done[:count] for count in (2, 3, 4, 8) if len(done) >= count}
        for step in design.EXPERTS[0].kept:
            early = [f"{name}_at_{step}" for name in done[:4]]
            if len(early) == 4 and all(self.place.file(name).exists() for name in early):
                found[f"early_{step}"] = early
        if done and self.place.done(design.COPY):
            found["near_copy_2"] = [done[0], design.COPY.name]
        own = [plan.name for plan in design.INDEPENDENT if self.place.done(plan)]
        return found | {f"independent_{count}": own[:count] for count in (2, 4) if len(own) >= count}

    def key(self, names: Sequence[str]) -> list[Any]:
        """What a measurement of these experts depends on."""
        return [self.name, [[name, self.place.file(name).stat().st_mtime_ns] for name in names], self.lists]

    def _tokens(self, text: str) -> int:
        return sum(token != self.encode.end for token in self.encode(text)) - 1

    def nets(self, names: Sequence[str]) -> list[Net]:
        """Trained nets by name."""
        found = []
        for name in names:
            state = runs.load(self.place.file(name))
            if state is None:
                raise SystemExit(f"{self.name} has no {name} yet: run python -m tools.worlds")
            net = Net(design.MULT, design.ATTENTION)
            net.load_state_dict(state["average"]["values"])
            found.append(net.eval())
        return found

    def measure(self, wanted: list[prompts.Prompt], names: Sequence[str]) -> dict[str, list[float]]:
        """Every column for the experts of these names; hidden taps only for experts of one base."""
        nets = self.nets(names)
        hidden = not names[0].startswith("independent")
        found = columns.of_ensemble(self._score(nets, names, wanted, columns.readings(hidden), "centred_relative"))
        also = [("mid_out", "response"), ("noise_pred", "response")]
        singles = [self._score([net], [name], wanted, also, "guidance") for net, name in zip(nets, names, strict=True)]
        return found | columns.of_singles(singles)

    def _score(
        self, nets: Sequence[Net], names: Sequence[str], wanted: list[prompts.Prompt], also: Any, estimator: str
    ) -> list[Any]:
        core = self.core
        experts = core.experts.ExpertSet()
        for net, name in zip(nets, names, strict=True):
            mark = core.signature.signature(net.unet.state_dict().items())
            experts = experts.add(
                core.experts.Expert(name, net, None, mark, mark.digest, "", "small world", "EPS", "float32")
            )
        noises = [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
        settings = core.report.Settings(
            experts=tuple(e.identity for e in experts.experts), text_encoders=("own",), tap="noise_pred",
            estimator=estimator, sigma=14.6146, noise_seed=SEEDS[0], noise_samples=len(SEEDS),
            latent_shape=(4, 8, 8), latent="empty", dtype="float32",
        )  # fmt: skip
        ids = torch.tensor([self.encode(prompt.text) for prompt in wanted])
        probe = TorchProbe(nets, ids, torch.tensor(self.encode("")), noises)
        scored = core.score.score_many(
            probe, experts, [dataclasses.replace(settings)] * len(wanted), [p.text for p in wanted], None, also
        )
        return [one.report for one in scored]

    @torch.no_grad()
    def draw(self, asked: list[prompts.Prompt], seeds: tuple[int, ...]) -> Drawn:
        """Pictures of the first expert: DDIM with guidance, judged against the split's own true pictures."""
        wanted = [prompt for prompt in asked if prompt.concepts]
        (net,) = self.nets(["expert_1"])
        vae, shift = autoencoder(), runs.load(self.place.shared / "latents.pt") or {}
        true = F.adaptive_avg_pool2d(self.place.pictures, 32) / 2 + 0.5
        ids = torch.tensor([self.encode(prompt.text) for prompt in wanted])
        empty = net.text(torch.tensor([self.encode("")]))
        quality = []
        for seed in seeds:
            noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
            pictures = []
            for part in ids.split(BATCH):
                latents = _sample(net, net.text(part), empty, noise)
                raw = (latents * shift["std"] + shift["mean"]) / 0.18215
                pictures.append(vae.decode(raw) / 2 + 0.5)
            quality.append(judge(torch.cat(pictures), true, [prompt.concepts for prompt in wanted]))
        return Drawn.mean(quality).among(asked)


def _sample(net: Net, context: Tensor, empty: Tensor, noise: Tensor) -> Tensor:
    signal = alphas()
    times = torch.linspace(FIRST_STEP, 0, STEPS + 1).round().long()[:-1]
    x = noise.expand(len(context), -1, -1, -1)
    both_contexts = torch.cat([context, empty.expand_as(context)])
    for i, t in enumerate(times):
        now = signal[t]
        after = signal[times[i + 1]] if i + 1 < STEPS else torch.tensor(1.0)
        yes, no = net.unet(torch.cat([x, x]), t.expand(2 * len(x)), both_contexts).chunk(2)
        guess = no + GUIDANCE * (yes - no)
        clean = (x - (1 - now).sqrt() * guess) / now.sqrt()
        x = after.sqrt() * clean + (1 - after).sqrt() * guess
    return x
