"""Whether network calls in another form are faster, and whether they give the same bits.

    python benchmarks/forms.py [--rounds N] [--side N] [--no-compile] [--json FILE]

Arms, in turn in one process, on cut-down networks of Stable Diffusion 1.5 and SDXL, float32, on the CPU:

    plain           the network as ComfyUI builds it
    channels last   the same with its weights and input in torch's channels_last layout
    compiled        the same through torch.compile, after its first call (needs a C++ compiler)

A score is compared with a calibration made by the plain form, so another form has to give the same bits, not just near ones.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Claim, Family, comfyui, conditions, enter_host, in_turn, model, prompt
from common import report as finish
from emoe_testing import unet

NETWORKS = (Family("sd15", unet.sd15(), 32), Family("sdxl", unet.SDXL_TINY, 32))


def forms(family: Family, compiled: bool) -> dict[str, Callable[[], Any]]:
    """Each form of one network, called on the same tensors."""
    import torch

    network = model(family, 0, torch.float32).model.diffusion_model
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, family.side, family.side, generator=generator)
    context = prompt(family, 0)[0][0].expand(2, -1, -1).contiguous()
    y = None if family.plan.adm is None else torch.randn(2, family.plan.adm, generator=generator)
    when = torch.tensor([999.0, 999.0])
    turned = copy.deepcopy(network).to(memory_format=torch.channels_last)
    made = {
        "plain": lambda: network(x, when, context=context, y=y),
        "channels last": lambda: turned(x.contiguous(memory_format=torch.channels_last), when, context=context, y=y),
    }
    if compiled:
        fast: Any = torch.compile(copy.deepcopy(network))
        made["compiled"] = lambda: fast(x, when, context=context, y=y)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="times each form runs (default 7)")
    parser.add_argument("--side", type=int, help="side of the latent (default 32)")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out torch.compile, which takes minutes at first"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    options = parser.parse_args()
    enter_host()
    claims: list[Claim] = []
    with comfyui():
        figures: dict[str, Any] = {"clock": "process CPU time", **conditions(), "families": {}}
        for family in NETWORKS:
            if options.side:
                family = Family(family.name, family.plan, options.side)
            made = forms(family, not options.no_compile)
            first: dict[str, float] = {}
            answers = {}
            for name, call in made.items():
                begun = time.perf_counter()
                answers[name] = call()
                first[name] = time.perf_counter() - begun
            plain, size = answers["plain"], float(answers["plain"].square().mean())
            apart = {name: float((one - plain).square().mean()) / size for name, one in answers.items()}
            same = {name: bool((one == plain).all()) for name, one in answers.items()}
            seconds = in_turn(made, {}, options.rounds, lambda _: None)
            figures["families"][family.name] = {
                "picture": family.side * 8, "seconds": seconds, "first": first, "apart": apart, "same_bits": same,
            }  # fmt: skip
            for name in list(made)[1:]:
                ratio = seconds[name]["cpu"] / seconds["plain"]["cpu"]
                claims.append(Claim(f"{family.name}, {name} / plain", ratio, None))
                bits = (
                    "the same bits"
                    if same[name]
                    else f"other bits (squared difference {apart[name]:.1e} of the answer's)"
                )
                print(f"{family.name}, {name}: {bits}, first call {first[name]:.1f} s")
    return finish(claims, figures, options.json)


if __name__ == "__main__":
    sys.exit(main())
