"""What experts cost in memory and in reading, compared with stock checkpoint models.

    python benchmarks/memory.py [--family sd15|sdxl|tiny] [--experts N] [--weights bf16|host] [--memory GB]
                                [--files DIR] [--json FILE]

Every arm is its own process, which loads N checkpoints, scores two prompts and reports its peak of resident memory:

    stock           N times ComfyUI's checkpoint loader (MODEL, CLIP and VAE, as Load Checkpoint), each to Add Expert
    encoder only    Load Experts; the prompt comes encoded
    with text       Load Experts; the prompt is encoded by each expert's own text encoder

The file has random weights in fp16 and the stock layout: U-Net, text encoder, VAE. All N names are one file. Bytes are
counted twice: those requested by read calls, and those that came from the disk, for which the file is first dropped from
the system's cache. If N do not fit into --memory (by default 80 % of the free memory), as many as fit are measured, and the
peak of N is that of a single expert plus N - 1 times the measured growth; the output says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from checkpoints import checkpoint_shapes, write_checkpoint
from common import FAMILIES, HOW, Claim, Family, comfyui, conditions, enter_host, latent, prompt, write
from common import report as finish
from emoe_testing.scoring import score_prompt

ARMS = ("stock", "encoder only", "with text")
GB = 1e9


def state() -> dict[str, int]:
    """Resident memory and bytes read so far (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    io = dict(line.split(":", 1) for line in Path("/proc/self/io").read_text().splitlines())
    resident = {"peak": "VmHWM", "resident": "VmRSS", "anonymous": "RssAnon"}
    made = {name: int(status[key].split()[0]) * 1024 for name, key in resident.items()}
    return {**made, "asked": int(io["rchar"]), "from_disk": int(io["read_bytes"])}


def child(arm: str, count: int, family: Family, file: Path, flags: list[str]) -> dict[str, Any]:
    """One arm in this process."""
    with tempfile.TemporaryDirectory() as folder, comfyui(*flags, base=Path(folder)) as pack:
        import comfy.sd

        host, core = pack.emoe_core.hosts.comfyui, pack.emoe_core
        names = [f"expert_{number + 1}.safetensors" for number in range(count)]
        for name in names:
            (Path(folder) / "models" / "checkpoints" / name).symlink_to(file)
        with open(file, "rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start, kept = state(), []
        if arm == "stock":
            made = core.experts.sets.ExpertSet()
            for name in names:
                path = str(Path(folder) / "models" / "checkpoints" / name)
                loaded = comfy.sd.load_checkpoint_guess_config(path, output_vae=True, output_clip=True)
                kept.append(loaded)  # as ComfyUI keeps a node's outputs
                made = made.add(host.experts.load.expert_from_model(loaded[0], loaded[1], name))
        else:
            made = host.experts.load.load_experts(names, host.experts.load.ENCODER_ONLY)
        loaded_state = state()

        def score(number: int) -> float:
            encode = host.prompts.conditioning.encode_for_experts
            words = encode(made, f"prompt {number}") if arm == "with text" else prompt(family, number)
            how = {**HOW, "tap": "mid_out", "estimator": "response"}  # this works with a single expert, too
            return float(score_prompt(host, made, words, latent(family), **how).report.score)

        score(1)
        first = state()
        score(2)
        second = state()
    return {
        "experts": count,
        "peak": second["peak"],
        "before": start["resident"],
        "after_loading": loaded_state["anonymous"] - start["anonymous"],
        "loading": {key: loaded_state[key] - start[key] for key in ("asked", "from_disk")},
        "first_prompt": {key: first[key] - loaded_state[key] for key in ("asked", "from_disk")},
        "second_prompt": {key: second[key] - first[key] for key in ("asked", "from_disk")},
    }


def run(arm: str, count: int, options: argparse.Namespace, file: Path) -> dict[str, Any]:
    print(f"{arm}, {count} experts", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--family", options.family, "--weights", options.weights]
    command += ["--child", arm, "--experts", str(count), "--files", str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def fitting(arm: str, options: argparse.Namespace, family: Family) -> int:
    """How many experts of an arm fit into memory; at least two, since the growth is measured from them."""
    item = 2 if options.weights == "bf16" else 4
    unet = sum(math.prod(shape) for _, shape in family.plan.shapes())
    part = 0.41 if family.plan.adm is None else 0.49
    text = (123e6 + (695e6 if family.plan.adm else 0)) * 4
    each = {"stock": unet * item + text + 84e6 * 4, "encoder only": unet * item * part}
    each["with text"] = each["encoder only"] + text
    import psutil

    room = (options.memory * GB if options.memory else 0.8 * psutil.virtual_memory().available) - 3 * GB
    return max(2, min(options.experts, int(room / each[arm])))


def claims(figures: dict[str, Any], family: str) -> list[Claim]:
    size, n = figures["file_bytes"], figures["experts"]
    peak = {arm: figures["arms"][arm]["peak_of_all"] for arm in ARMS}
    single = figures["arms"]["encoder only"]["single"]
    limited = family == "sd15"
    made = [
        Claim(
            f"peak of {n} experts / {n} stock models", peak["encoder only"] / peak["stock"], 0.45 if limited else None
        ),
        Claim("the same, each with its own text encoder", peak["with text"] / peak["stock"], None),
        Claim("bytes asked for / bytes of the file", single["loading"]["asked"] / size, 0.40 if limited else None),
        Claim("bytes asked for by a second prompt / bytes of the file", single["second_prompt"]["asked"] / size, 0.001),
    ]
    if figures["arms"]["stock"]["single"]["loading"]["from_disk"] > 0.5 * size:  # the cache could be dropped
        share = single["loading"]["from_disk"] / size
        made.insert(3, Claim("bytes from the disk / bytes of the file", share, 0.40 if limited else None))
        again = single["second_prompt"]["from_disk"] / size
        made.append(Claim("bytes from the disk by a second prompt / bytes of the file", again, 0.001))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="sd15")
    parser.add_argument("--experts", type=int, default=8, help="how many (default 8)")
    parser.add_argument(
        "--weights", choices=("bf16", "host"), default="bf16", help="bf16, or as ComfyUI has it on a CPU"
    )
    parser.add_argument("--memory", type=float, metavar="GB", help="most that an arm may need")
    parser.add_argument("--files", type=Path, metavar="DIR", help="where the checkpoint is kept (default: nowhere)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, after every arm")
    parser.add_argument("--child", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    enter_host()
    family, flags = FAMILIES[options.family], ["--bf16-unet"] if options.weights == "bf16" else []
    if options.child:
        print(json.dumps(child(options.child, options.experts, family, options.files, flags)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = (options.files or Path(folder)) / f"random_{family.name}.safetensors"
        if not file.exists():
            with comfyui():
                write_checkpoint(file, dict(checkpoint_shapes(family)))
        figures: dict[str, Any] = {
            "family": family.name,
            "experts": options.experts,
            "weights": options.weights,
            "file_bytes": file.stat().st_size,
            "arms": {},
            **conditions(),
        }
        for arm in ARMS:
            count = fitting(arm, options, family)
            single, many = run(arm, 1, options, file), run(arm, count, options, file)
            growth = (many["peak"] - single["peak"]) / (count - 1)
            whole = single["peak"] + growth * (options.experts - 1) if count < options.experts else many["peak"]
            figures["arms"][arm] = {"single": single, "many": many, "growth": growth, "peak_of_all": whole}
            write(options.json, figures)
    for arm, found in figures["arms"].items():
        how = "" if found["many"]["experts"] == options.experts else f", from 1 and {found['many']['experts']} measured"
        one = found["single"]["loading"]
        print(
            f"{arm:13} peak {found['peak_of_all'] / GB:6.2f} GB for {options.experts}{how}; {found['growth'] / GB:5.2f} GB "
            f"each; one file: {one['asked'] / GB:5.2f} GB asked for, {one['from_disk'] / GB:5.2f} GB from the disk"
        )
    return finish(claims(figures, family.name), figures, options.json)


if __name__ == "__main__":
    sys.exit(main())
