"""What experts answer, for any weights of the demo's or of a world's shape, on plain torch nets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from tools.train_demo.tokenizer import Encoder
from tools.train_demo.train import Net, alphas
from tools.worlds import design
from tools.worlds.kinds import DISTILLED, LORAS, RANKS, STYLES

from .prompts import WHOLE_GROUPS, spread
from .variants import Weights, state
from .worlds import FIRST_STEP, WorldSource, trained

KNOWN = ("calibration", "fresh")
#: Beside languages that have no share of the captions.
HARDLY_SHOWN = ("under_sampled", "held_out", *WHOLE_GROUPS, "nonsense", "word_salad", "typos", "keywords")
BATCH = 64
SEEDS = (0, 1)


@dataclass(frozen=True, eq=False)
class Answers:
    """One expert's answers to all prompts of a source.

    Attributes:
        shift: what the prompt changes in the noise prediction, [P, K, C, places].
        middle: the middle block's output, [P, K, D].
    """

    shift: Tensor
    middle: Tensor

    @property
    def layout(self) -> Tensor:
        """t of the estimator centred_layout, [P, K, D]."""
        exact = self.shift.double()
        return (exact - exact.mean(dim=3, keepdim=True)).flatten(2)


@dataclass(frozen=True, eq=False)
class Source:
    """A set of fine-tunes with a known history, and its prompts by group.

    Attributes:
        experts: fine-tunes of one base, by name.
        unknown: the groups of prompts that the experts were hardly or never shown.
        side: of the latents.
        others: sets of further experts of the same base, by what they are called.
    """

    name: str
    experts: dict[str, Weights]
    groups: dict[str, list[str]]
    unknown: tuple[str, ...]
    encode: Encoder
    make: Callable[[], Net]
    side: int
    others: dict[str, list[Weights]] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """All prompts, in the groups' order."""
        return [text for texts in self.groups.values() for text in texts]

    @torch.no_grad()
    def answers(self, weights: Weights, seeds: tuple[int, ...] = SEEDS, timestep: int = FIRST_STEP) -> Answers:
        """What an expert with these weights answers to noise alone, at the noise level of a timestep."""
        net = self.make()
        net.load_state_dict(weights)
        net.eval()
        ids = torch.tensor([self.encode(text) for text in [*self.texts, ""]])
        kept: dict[str, Tensor] = {}
        handle = net.unet.middle_block[-1].register_forward_hook(lambda _, __, out: kept.update(mid=out))
        shifts, middles = [], []
        level = 1.0 if timestep == FIRST_STEP else float((1 - alphas()[timestep]).sqrt())
        for seed in seeds:
            noise = level * torch.randn(1, 4, self.side, self.side, generator=torch.Generator().manual_seed(seed))
            outs, mids = [], []
            for part in ids.split(BATCH):
                t = torch.full((len(part),), timestep)
                outs.append(net.unet(noise.expand(len(part), -1, -1, -1), t, net.text(part)))
                mids.append(kept["mid"].flatten(1))
            out = torch.cat(outs)
            shifts.append((out[:-1] - out[-1:]).flatten(2))
            middles.append(torch.cat(mids)[:-1])
        handle.remove()
        return Answers(torch.stack(shifts, dim=1), torch.stack(middles, dim=1))

    def parts(self, rows: Any) -> list[Any]:
        """Rows of all prompts, by group."""
        return np.split(rows, np.cumsum([len(texts) for texts in self.groups.values()])[:-1])

    def split(self, rows: Any) -> tuple[Any, dict[str, Any]]:
        """Rows of all prompts as those of the known ones, and of the others by group."""
        found = dict(zip(self.groups, self.parts(rows), strict=True))
        known = np.concatenate([found[group] for group in KNOWN if group in found])
        return known, {group: part for group, part in found.items() if group not in KNOWN}


def products(kind: Callable[..., Any], features: list[Tensor]) -> Any:
    """The experts' `choosing.products.Products` (`kind`) from a feature of each, [P, K, D]."""
    experts = [one.double() for one in features]
    square = torch.stack([one.square().mean(dim=2) for one in experts], dim=2)
    apart = torch.zeros(*square.shape, len(experts), dtype=torch.float64)
    for i, j in combinations(range(len(experts)), 2):
        apart[..., i, j] = apart[..., j, i] = (experts[i] - experts[j]).square().mean(dim=2)
    return kind(square.numpy(), apart.numpy())


def shipped(demo: Any, most: int) -> Source:
    """The experts that come with the pack."""
    found = {path.stem: _net_weights(load_file(path)) for path in demo.expert_files()}
    lists, unknown = _lists(demo.prompts(), demo.ground_truth(), most)
    return Source("shipped", found, lists, unknown, Encoder(demo.tokenizer_dir()), Net, 16)


def _net_weights(stored: Mapping[str, Tensor]) -> Weights:
    names = {"model.diffusion_model.": "unet.", "cond_stage_model.transformer.": "text."}
    return {
        into + name.removeprefix(prefix): weight.float()
        for name, weight in stored.items()
        for prefix, into in names.items()
        if name.startswith(prefix)
    }


def _lists(
    groups: Mapping[str, list[str]], truth: Mapping[str, Any], most: int
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Prompts of the known and of the unknown groups, and the names of the latter."""
    unseen = [code for code, entry in truth["languages"].items() if not entry["share"]]
    unknown = tuple(group for group in (*HARDLY_SHOWN, *unseen) if groups.get(group))
    lists = {group: list(groups[group]) for group in KNOWN if groups.get(group)}
    return lists | {group: spread(list(groups[group]), most) for group in unknown}, unknown


def worlds(core: Any, cache: Path, most: int) -> list[Source]:
    """Every trained world with four experts and more, that of photographs too."""
    found = []
    for place in trained(cache, (*design.WORLDS, "T")):
        world = WorldSource(core, place)
        names = [plan.name for plan in design.EXPERTS if place.done(plan)]
        if len(names) < 4:
            continue

        def weights(name: str, world: WorldSource = world) -> Weights:
            return state(world.nets([name])[0])

        others: dict[str, list[Weights]] = {}
        styles = [plan.name for plan in STYLES if place.done(plan)]
        if len(styles) == len(STYLES):
            others["four styles"] = [weights(name) for name in (names[0], *styles)]
        for rank in RANKS:
            loras = [plan.name for each, plan in LORAS if each == rank and place.done(plan)]
            if len(loras) == 4:
                others[f"four LoRAs of rank {rank}"] = [weights(name) for name in loras]
        if place.done(DISTILLED):
            others["three, and the first one distilled"] = [weights(name) for name in (*names[1:4], DISTILLED.name)]
            others["the first one, and itself distilled"] = [weights(name) for name in (names[0], DISTILLED.name)]
        others |= {
            f"stopped after {step} steps": [weights(f"{name}_at_{step}") for name in names[:4]]
            for step in design.EXPERTS[0].kept
            if all(place.file(f"{name}_at_{step}").exists() for name in names[:4])
        }
        make = partial(Net, design.MULT, design.ATTENTION)
        lists, unknown = _lists(world.lists, world.truth, most)
        experts = {name: weights(name) for name in names}
        found.append(Source(world.name, experts, lists, unknown, world.encode, make, 8, others))
    return found
