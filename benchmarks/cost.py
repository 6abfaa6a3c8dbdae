"""What a score costs, compared with the least possible cost and with the image that it may save.

    python benchmarks/cost.py [--family sd15|sdxl|tiny] [--experts N] [--rounds N] [--dtype float32|bfloat16]
                              [--side N] [--one-network] [--no-thorough] [--json FILE]

Arms, run in turn in one process, warm, on the CPU, one noise sample:

    floor       the network's own modules called by hand to the end of the middle block, once per expert
    fast        Score with preset fast
    floor whole the whole network called by hand, once per expert
    thorough    Score with preset thorough, the empty prompt's pass kept from the prompt before
    one step    ComfyUI's sampler with one step and no guidance, once per expert
    image       ComfyUI's sampler with guidance: the first of 20 steps of one image, times 20

Every figure is a ratio of medians from the same run. The full networks of four SD1.5 experts need 14 GB in float32; with
--one-network the experts share one (3.5 GB; SDXL: 10 GB, 5 GB in bfloat16), which changes no operation.
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
from emoe_testing.scoring import score_prompt

STEPS, GUIDANCE = 20, 7.0


def by_hand(network: Any, family: Family, whole: bool) -> Callable[[], Any]:
    """Only the arithmetic: the network on prepared tensors, to the middle block's end or to its own."""
    import torch
    from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed
    from comfy.ldm.modules.diffusionmodules.util import timestep_embedding

    x = torch.randn(1, 4, family.side, family.side).to(network.dtype)
    context = prompt(family, 0)[0][0].to(network.dtype)
    y = None if family.plan.adm is None else torch.randn(1, family.plan.adm).to(network.dtype)
    when = torch.tensor([999.0])

    def call() -> Any:
        if whole:
            return network(x, when, context=context, y=y)
        emb = network.time_embed(timestep_embedding(when, network.model_channels).to(x.dtype))
        emb = emb if y is None else emb + network.label_emb(y)
        h, skips = x, []
        for block in network.input_blocks:
            h = forward_timestep_embed(block, h, emb, context, {})
            skips.append(h)
        return forward_timestep_embed(network.middle_block, h, emb, context, {})

    return call


def arms(pack: ModuleType, family: Family, made: Any, thorough: bool) -> dict[str, Callable[[], Any]]:
    import comfy.sample

    host, presets = pack.emoe_core.hosts.comfyui, pack.emoe_core.scoring.presets.PRESETS
    models = [expert.model for expert in made.experts]
    networks = [m.model.diffusion_model for m in models]
    empty_picture, texts = latent(family), iter(range(1000, 10**9))

    def score(preset: str) -> Callable[[], Any]:
        chosen = presets[preset]
        how = {**HOW, "tap": chosen.tap, "estimator": chosen.estimator}
        return lambda: score_prompt(host, made, prompt(family, next(texts)), empty_picture, **how)  # a new prompt

    def sample(which: Any, steps: int, guidance: float, last: int) -> Any:
        noise = comfy.sample.prepare_noise(empty_picture["samples"], 0)
        words = (prompt(family, 0), prompt(family, 1))
        where = ("euler", "normal", *words, empty_picture["samples"])
        return comfy.sample.sample(which, noise, steps, guidance, *where, last_step=last, disable_pbar=True, seed=0)

    def each(calls: list[Callable[[], Any]]) -> Callable[[], Any]:
        return lambda: [call() for call in calls]

    made_arms: dict[str, Callable[[], Any]] = {
        "floor": each([by_hand(network, family, False) for network in networks]),
        "fast": score("fast"),
        "image": lambda: sample(models[0], STEPS, GUIDANCE, 1),
    }
    if thorough:
        made_arms |= {
            "floor whole": each([by_hand(network, family, True) for network in networks]),
            "thorough": score("thorough"),
            "one step": lambda: [sample(m, 1, 1.0, 1) for m in models],
        }
    return made_arms


def claims(family: str, count: int, seconds: dict[str, dict[str, float]]) -> list[Claim]:
    """The ratios. Limits are for the full-size families and four experts."""
    t = {name: clocks["cpu"] for name, clocks in seconds.items()}
    image = t["image"] * STEPS
    limited = count == 4

    def at_most(sd15: float | None, sdxl: float | None = None) -> float | None:
        return {"sd15": sd15, "sdxl": sdxl}.get(family) if limited else None

    made = [
        Claim(f"fast / {count} calls of encoder and middle block", t["fast"] / t["floor"], at_most(1.10, 1.10)),
        Claim("fast / image of 20 steps with guidance", t["fast"] / image, at_most(0.045, 0.05)),
    ]
    if "thorough" in t:
        made += [
            Claim(f"fast / {count} one-step samplings", t["fast"] / t["one step"], at_most(0.40)),
            Claim(
                f"thorough / {count} calls of the whole network", t["thorough"] / t["floor whole"], at_most(1.10, 1.10)
            ),
            Claim("thorough / image of 20 steps with guidance", t["thorough"] / image, at_most(0.11, 0.11)),
        ]
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="sd15")
    parser.add_argument("--experts", type=int, default=4, help="how many (default 4)")
    parser.add_argument("--side", type=int, help="side of the latent, instead of the family's own")
    parser.add_argument("--rounds", type=int, default=5, help="times each arm runs (default 5)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--one-network", action="store_true", help="all experts share one network's memory")
    parser.add_argument("--no-thorough", action="store_true", help="leave out the arms that run whole networks")
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
            "experts": options.experts,
            "dtype": options.dtype,
            "one_network": options.one_network,
            "image_is": "the first of 20 guided steps, times 20",
            "clock": "process CPU time",
            **conditions(),
        }

        def save(seconds: dict[str, dict[str, float]]) -> None:
            write(options.json, {**figures, "seconds": seconds})

        warm, measured = (arms(pack, one, made, not options.no_thorough) for one in (for_warming(family), family))
        if "thorough" in measured:
            warm |= {"empty prompt": measured["thorough"]}  # at its own size, to be kept
        seconds = in_turn(measured, warm, options.rounds, save)
    for name, clocks in seconds.items():
        print(f"{name:12} {clocks['cpu']:10.3f} s CPU {clocks['wall']:10.3f} s")
    figures["seconds"] = seconds
    return finish(claims(family.name, options.experts, seconds), figures, options.json)


if __name__ == "__main__":
    sys.exit(main())
