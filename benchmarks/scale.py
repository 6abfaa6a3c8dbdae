"""How a score's time grows: with experts, with prompts, with noise samples; and what a batch of prompts saves.

    python benchmarks/scale.py [--family tiny|sd15|sdxl] [--experts N] [--prompts N] [--rounds N] [--side N]
                               [--dtype float32|bfloat16] [--one-network] [--json FILE]

Preset fast, warm, every size run in turn in one process. A size's time over that of the smallest, divided by the sizes'
ratio, is 1 where time is linear, and less where a fixed cost is shared. A batch is one call for all prompts; it is compared
with as many calls of one prompt each. Times are process CPU time, medians over the rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from common import (
    FAMILIES,
    HOW,
    Claim,
    Family,
    comfyui,
    conditions,
    enter_host,
    experts,
    for_warming,
    in_turn,
    latent,
    prompt,
    write,
)
from common import report as finish
from emoe_testing.scoring import score_prompt, score_prompts

LINEAR = 0.10


def arms(pack: ModuleType, family: Family, made: Any, prompts: int) -> dict[str, Callable[[], Any]]:
    host, core = pack.emoe_core.hosts.comfyui, pack.emoe_core
    chosen = core.scoring.presets.PRESETS["fast"]
    how = {**HOW, "tap": chosen.tap, "estimator": chosen.estimator}
    few = core.experts.sets.ExpertSet(made.experts[:2])

    def one(which: Any, seed: int, samples: int = 1) -> Any:
        return score_prompt(host, which, prompt(family, seed), latent(family), **{**how, "noise_samples": samples})

    def several(count: int) -> list[Any]:
        return [one(few, seed) for seed in range(count)]

    def batch() -> list[Any]:
        return list(score_prompts(host, few, [prompt(family, seed) for seed in range(prompts)], latent(family), **how))

    sizes = [count for count in (2, 4, 8) if count <= len(made)]
    by_experts = {f"{n} experts": (lambda n=n: one(core.experts.sets.ExpertSet(made.experts[:n]), 0)) for n in sizes}
    by_prompts = {f"{n} prompts": (lambda n=n: several(n)) for n in (1, prompts // 2, prompts)}
    by_samples = {f"{n} noise samples": (lambda n=n: one(few, 0, n)) for n in (1, 2, 4)}
    return {**by_experts, **by_prompts, **by_samples, f"batch of {prompts} prompts": batch}


def claims(seconds: dict[str, dict[str, float]], prompts: int) -> list[Claim]:
    t = {name: clocks["cpu"] for name, clocks in seconds.items()}
    made = []
    for what in ("experts", "prompts", "noise samples"):
        sizes = sorted(int(name.split()[0]) for name in t if name.split(" ", 1)[1] == what)
        for size in sizes[1:]:
            growth = t[f"{size} {what}"] / t[f"{sizes[0]} {what}"] / (size / sizes[0])
            made.append(
                Claim(f"time of {size} {what} / {size // sizes[0]} times that of {sizes[0]}", growth, 1 + LINEAR)
            )
    batch = t[f"batch of {prompts} prompts"] / t[f"{prompts} prompts"]
    made.append(Claim(f"one batch of {prompts} prompts / {prompts} prompts one by one", batch, 1.0))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="tiny")
    parser.add_argument("--experts", type=int, default=8, help="the most experts (default 8)")
    parser.add_argument("--prompts", type=int, default=8, help="the most prompts (default 8)")
    parser.add_argument("--rounds", type=int, default=5, help="times each size runs (default 5)")
    parser.add_argument("--side", type=int, help="side of the latent, instead of the family's own")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--one-network", action="store_true", help="all experts share one network's memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, after every round")
    options = parser.parse_args()
    enter_host()
    family = FAMILIES[options.family]
    family = replace(family, side=options.side or family.side)
    with comfyui() as pack:
        import torch

        made = experts(pack, family, options.experts, getattr(torch, options.dtype), options.one_network)
        figures: dict[str, Any] = {
            "family": family.name,
            "picture": family.side * 8,
            "dtype": options.dtype,
            "one_network": options.one_network,
            "clock": "process CPU time",
            **conditions(),
        }

        def save(seconds: dict[str, dict[str, float]]) -> None:
            write(options.json, {**figures, "seconds": seconds})

        warm, measured = (arms(pack, one, made, options.prompts) for one in (for_warming(family), family))
        seconds = in_turn(measured, warm, options.rounds, save)
    for name, clocks in seconds.items():
        print(f"{name:22} {clocks['cpu']:10.3f} s CPU {clocks['wall']:10.3f} s")
    figures["seconds"] = seconds
    return finish(claims(seconds, options.prompts), figures, options.json)


if __name__ == "__main__":
    sys.exit(main())
