"""Four experts with a known training, the prompts to score, and the reference prompts that some scores learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from known_truth import pools, prompts
from known_truth.worlds import WorldSource, trained
from torch import Tensor

from tools.train_demo.tokenizer import Encoder
from tools.train_demo.train import Net
from tools.worlds import design

EXPERTS = 4
FEW_EXPERTS = f"base_{EXPERTS}"
MEASURES = ("top1", "rank")


@dataclass(frozen=True, eq=False)
class Case:
    """One set of experts.

    Attributes:
        split: of the world; the shipped experts count as split 0, since scores were chosen on them before.
        references: well-known prompts, none of which is among `rows`.
        rows: the prompts to score, with their history.
        side: of the latents.
        world: what draws pictures, where there is such a thing.
    """

    name: str
    split: int
    references: list[str]
    rows: list[Any]
    nets: list[Net]
    encode: Encoder
    side: int
    key: list[Any] = field(default_factory=list)
    world: WorldSource | None = None

    @property
    def texts(self) -> list[str]:
        """The reference prompts first."""
        return [*self.references, *(row.text for row in self.rows)]

    @cached_property
    def empty(self) -> Tensor:
        return torch.tensor(self.encode(""))

    def ids(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([self.encode(text) for text in texts])

    def pictures(self, seeds: tuple[int, ...]) -> dict[str, Any]:
        """How right the first expert's pictures are, by measure; nothing where no picture can be drawn here."""
        if self.world is None:
            return {}
        drawn = self.world.draw(self.rows, seeds)
        return {measure: np.asarray(getattr(drawn, measure)).tolist() for measure in MEASURES}


def shipped(demo: Any, most: int) -> Case:
    """The experts that come with the pack, and at most `most` prompts of every group."""
    source = pools.shipped(demo, most)
    nets = []
    for weights in list(source.experts.values())[:EXPERTS]:
        net = source.make()
        net.load_state_dict(weights)
        nets.append(net.eval())
    rows = prompts.collect(demo.ground_truth(), demo.prompts(), _counter(source.encode), most)
    return Case(source.name, 0, demo.prompts()["calibration"], rows, nets, source.encode, source.side, [most])


def _counter(encode: Encoder) -> Any:
    return lambda text: sum(token != encode.end for token in encode(text)) - 1


def worlds(core: Any, cache: Path, most: int) -> list[Case]:
    """Every trained world with four experts of one base."""
    found = []
    for place in trained(cache):
        world = WorldSource(core, place)
        names = world.sets().get(FEW_EXPERTS)
        if names:
            found.append(
                Case(
                    world.name,
                    place.split.index,
                    world.lists["calibration"],
                    world.prompts(most),
                    world.nets(names),
                    world.encode,
                    design.SIZE // 8,
                    [most, *world.key(names)],
                    world,
                )
            )
    return found
