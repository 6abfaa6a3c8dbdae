"""Worlds trained by `tools.worlds`, measured with the same estimators on plain torch nets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.train_demo import runs
from tools.train_demo.evaluate import GUIDANCE, STEPS
from tools.train_demo.tokenizer import Encoder
from tools.train_demo.train import Net, alphas
from tools.worlds import design
from tools.worlds.pipeline import Place, autoencoder, place_of

from . import columns, prompts
from .pictures import Drawn, judge

SEEDS = (0, 1)
FIRST_STEP = 999
BATCH = 128


class Passes:
    """A trained net and its passes, which are computed once for all sets of experts with this net."""

    def __init__(self, net: Net, ids: Tensor, empty: Tensor, noises: list[Tensor]) -> None:
        self.net, self.ids, self.empty, self.noises = net, ids, empty, noises

    @cached_property
    @torch.no_grad()
    def latents(self) -> dict[str, Tensor]:
        """Tap -> [prompts + 1, noise samples, ...]; the empty prompt is the last."""
        parts: dict[str, list[Tensor]] = {}
        for part in torch.cat([self.ids, self.empty[None]]).split(BATCH):
            context = self.net.text(part)
            passes = [_forward(self.net, noise.expand(len(part), -1, -1, -1), context) for noise in self.noises]
            for tap in TorchProbe.taps:
                parts.setdefault(tap, []).append(torch.stack([one[tap] for one in passes], dim=1))
        return {tap: torch.cat(found) for tap, found in parts.items()}


class TorchProbe:
    """Implements `emoe_core.scoring.probe.Probe` on nets of the demo's shape."""

    taps = ("mid_in", "mid_out", "noise_pred")

    def __init__(self, experts: Sequence[Passes], answer: Callable[..., Any]) -> None:
        self.experts, self.answer = experts, answer

    def latents(self, request: Any, advance: Callable[[int], None]) -> Any:
        """See the protocol."""
        found = self.experts[request.expert].latents
        prompts = len(found["noise_pred"]) - 1
        rows = [prompts] if request.empty else range(prompts)
        advance(len(rows) * len(found["noise_pred"][0]))
        return self.answer([{tap: [found[tap][row].unsqueeze(1)] for tap in request.taps} for row in rows])


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


def trained(cache: Path, names: Iterable[str] = design.WORLDS) -> list[Place]:
    """Places of these worlds in the cache whose training has begun, in order."""
    return [
        place_of(cache, name, int(folder.name.split("_")[1]))
        for folder in sorted((cache / "worlds").glob("split_*"))
        for name in names
        if (folder / name / "base.done").exists()
    ]


class WorldSource:
    """A trained world under a split: prompts, scores, pictures."""

    def __init__(self, core: ModuleType, place: Place) -> None:
        self.core, self.place = core, place
        self.name = f"world {place.world.name}, split {place.split.index}"
        self.truth: dict[str, Any] = json.loads((place.folder / "ground_truth.json").read_text("utf-8"))
        self.lists: dict[str, list[str]] = json.loads((place.folder / "prompts.json").read_text("utf-8"))
        self.encode = Encoder(place.tokenizer)
        self._passes: dict[tuple[str, tuple[str, ...]], Passes] = {}
        self._alone: dict[Passes, list[Any]] = {}

    def prompts(self, most: int) -> list[prompts.Prompt]:
        """At most `most` of every group."""
        return prompts.collect(self.truth, self.lists, self._tokens, most)

    def sets(self) -> dict[str, list[str]]:
        """Sets of experts whose training is done, by a label.

        `base_N`: fine-tuned from one base; `early_S`: four of these, stopped after S steps; `near_copy_2`: one of them and
        a near copy; `independent_N`: from their own seeds, with no base in common.
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
        """Every column for the experts with these names; hidden taps only for experts of one base."""
        hidden = not names[0].startswith("independent")
        found = columns.of_ensemble(self._score(names, wanted, columns.readings(hidden), "centred_relative"))
        return found | columns.of_singles([self._single(name, wanted) for name in names])

    def _single(self, name: str, wanted: list[prompts.Prompt]) -> list[Any]:
        """Reports of one expert alone, which are the same in every set."""
        passes = self.passes(name, wanted)
        if passes not in self._alone:
            also = [("mid_out", "response"), ("noise_pred", "response")]
            self._alone[passes] = self._score([name], wanted, also, "guidance")
        return self._alone[passes]

    def passes(self, name: str, wanted: list[prompts.Prompt]) -> Passes:
        """The passes of one net."""
        texts = tuple(prompt.text for prompt in wanted)
        if (name, texts) not in self._passes:
            noises = [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
            ids, empty = (torch.tensor([self.encode(text) for text in some]) for some in (texts, ("",)))
            self._passes[name, texts] = Passes(self.nets([name])[0], ids, empty[0], noises)
        return self._passes[name, texts]

    def _score(self, names: Sequence[str], wanted: list[prompts.Prompt], also: Any, estimator: str) -> list[Any]:
        core = self.core
        experts = core.experts.sets.ExpertSet()
        passes = [self.passes(name, wanted) for name in names]
        for one, name in zip(passes, names, strict=True):
            mark = core.experts.signature.signature(one.net.unet.state_dict().items())
            experts = experts.add(
                core.experts.sets.Expert(name, one.net, None, mark, mark.digest, "", "small world", "EPS", "float32")
            )
        settings = core.records.settings.Settings(
            experts=tuple(e.identity for e in experts.experts), text_encoders=("own",), tap="noise_pred",
            estimator=estimator, sigma=14.6146, noise_seed=SEEDS[0], noise_samples=len(SEEDS),
            latent_shape=(4, 8, 8), latent="empty", dtype="float32",
        )  # fmt: skip
        scored = core.scoring.score.score_many(
            TorchProbe(passes, core.scoring.probe.Answer),
            experts,
            [dataclasses.replace(settings)] * len(wanted),
            [p.text for p in wanted],
            None,
            also,
        )
        return [one.report for one in scored]

    @torch.no_grad()
    def draw(self, asked: list[prompts.Prompt], seeds: tuple[int, ...]) -> Drawn:
        """Pictures of the first expert: DDIM with guidance, judged against the split's own true pictures."""
        wanted = [prompt for prompt in asked if prompt.concepts]
        (net,) = self.nets(["expert_1"])
        vae, shift = autoencoder(), runs.load(self.place.latents_file) or {}
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
