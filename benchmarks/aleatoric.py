"""Can the seed's share tell a prompt that fits several pictures from one that the experts do not know?

    python -m tools.worlds --cache CACHE --world D --split 0 --part 0
    python benchmarks/aleatoric.py --worlds CACHE [--json FILE]

In world D, words that fit several things, such as "animal", are captions as often as the names of single things. They are well
known, and still leave the picture open. AUROC compares them with names of single things, which are known as well, and both with
things that were never shown:

    score         the preset layout
    seed          its value for the noise samples of the experts' mean, in place of the experts: see docs/estimators.md
    seed's share  the variance across noise samples over the sum of that and the variance across experts
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

SAMPLES = 8
TIMESTEPS = {"step 0 of 20": 999, "step 4 of 20": 799}
GROUPS = ("calibration", "fresh", "several", "held_out")


def source(cache: Path) -> Any:
    """World D as a source of answers."""
    from known_truth.pools import Source
    from known_truth.variants import state
    from known_truth.worlds import WorldSource

    import emoe_core
    from tools.train_demo.train import Net
    from tools.worlds import design
    from tools.worlds.pipeline import place_of

    world = WorldSource(emoe_core, place_of(cache, "D", 0))
    names = [plan.name for plan in design.EXPERTS[:4]]
    experts = {name: state(net) for name, net in zip(names, world.nets(names), strict=True)}
    groups = {group: world.lists[group] for group in GROUPS}
    return Source(
        world.name, experts, groups, ("held_out",), world.encode, partial(Net, design.MULT, design.ATTENTION), 8
    )


def columns(experts: Any) -> dict[str, Any]:
    """The three figures of each prompt.

    Args:
        experts: what the prompt changes from place to place, [P, K, M, D].
    """
    mean = experts.mean(dim=2)
    across = experts.var(dim=2).mean(dim=-1)  # [P, K]
    seeds = mean.var(dim=1).mean(dim=-1)  # [P]
    return {
        "score": (across / experts.square().mean(dim=(2, 3))).mean(dim=1).numpy(),
        "seed": (seeds / mean.square().mean(dim=(1, 2))).numpy(),
        "seed's share": (seeds / (seeds + across.mean(dim=1))).numpy(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, metavar="CACHE", required=True, help="where world D was trained")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    options = parser.parse_args()
    from common import enter_host, write

    enter_host()
    import numpy as np
    import torch
    from adaptive import auroc

    one = source(options.worlds)
    figures: dict[str, Any] = {}
    for name, timestep in TIMESTEPS.items():
        answers = [one.answers(weights, tuple(range(SAMPLES)), timestep).layout for weights in one.experts.values()]
        for column, values in columns(torch.stack(answers, dim=2)).items():
            rows = dict(zip(one.groups, one.parts(values), strict=True))
            known = np.concatenate([rows["calibration"], rows["fresh"]])
            found = figures.setdefault(name, {})[column] = {
                "several against one": auroc(known, rows["several"]),
                "never shown against one": auroc(known, rows["held_out"]),
                "never shown against several": auroc(rows["several"], rows["held_out"]),
            }
            told = ", ".join(f"{task} {value:.2f}" for task, value in found.items())
            print(f"{name}, {column}: {told}", flush=True)
    write(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
