"""What is left of the score when experts 2, 3, ... are held as differences from the first one, or in 8 bits.

    python benchmarks/slim.py [--quick] [--json FILE]
    python benchmarks/slim.py --memory FOLDER [--json FILE]

The shipped experts are scored whole, and in each of these forms:

    rank R             the first expert, and differences cut to rank R (truncated singular value decomposition, as LoRAs
                       in fp16); what is no matrix, and embeddings, stay exact
    rank 16, fp8       the same with the LoRA's matrices in fp8
    B bits             the first expert, and differences in B bits per number (`emoe_core.experts.differences`)
    fp8, int8          every expert as an fp8 copy (e4m3, one scale per matrix), or an int8 copy (one per row)
    fp8 and 2 bits     an fp8 copy of the first expert, and differences from that copy in 2 bits

`near` repeats some of them with experts 2 to 4 moved to a quarter of their distance from the first one. Fine-tunes of a large
model lie closer to their base than the shipped experts, which were trained apart for 1800 of 6300 steps.

Bytes are the network's and the text encoder's, of all experts together, over those of one expert in fp16. For SDXL they are
computed from the shapes alone. With --json an interrupted run goes on where it stopped. Claim: with the bits that Load
Experts uses, the rank correlation with the full score is at least 0.98, the mean AUROC moves by at most 0.005, and four SDXL
experts are held in at most 1.6 times the memory of one.

--memory measures Load Experts instead, whole and slim, on a processor: four Stable Diffusion 1.5 checkpoints of full size
with random weights (2 GB each, kept in the folder), in bfloat16, a process for each. Two prompts are scored with small
latents, so that the time is that of the weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from common import FAMILIES, HOW, ROOT, Claim, comfyui, conditions, enter_host, latent, prompt, report, write

sys.path.append(str(ROOT))

ALPHA = 0.05
NEAR = 0.25
RANKS = (4, 8, 16, 32, 64)
GOOD = ("calibration", "fresh")
PRESETS = {"layout": ("noise_pred", "centred_layout"), "fast": ("mid_out", "relative")}
Weights = dict[str, Any]
#: A difference or a weight, by its name -> what is left of it, and its bytes.
Rounding = Callable[[str, Any], tuple[Any, float]]


def is_matrix(name: str, weight: Any) -> bool:
    return weight.dim() >= 2 and "embedding" not in name


def exact(weight: Any) -> tuple[Any, float]:
    return weight, 2 * weight.numel()


def fp8(name: str, weight: Any) -> tuple[Any, float]:
    import torch

    if not is_matrix(name, weight):
        return exact(weight)
    scale = weight.abs().max().clamp_min(1e-12) / 448
    return (weight / scale).to(torch.float8_e4m3fn).float() * scale, weight.numel() + 4


def int8(name: str, weight: Any) -> tuple[Any, float]:
    if not is_matrix(name, weight):
        return exact(weight)
    rows = weight.flatten(1)
    scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    return ((rows / scale).round() * scale).view_as(weight), weight.numel() + 4 * len(rows)


def in_bits(bits: int) -> Rounding:
    from emoe_core.experts.differences import pack, unpack

    def rounded(name: str, difference: Any) -> tuple[Any, float]:
        if difference.dim() < 2:
            return difference, 4 * difference.numel()
        packed = pack(difference, bits)
        return unpack(packed.codes, packed.steps, bits, difference.shape), packed.held

    return rounded


def of_rank(rank: int, in_fp8: bool = False) -> Rounding:
    from tools.demo_loras import low_rank

    def cut(name: str, difference: Any) -> tuple[Any, float]:
        if not is_matrix(name, difference) or rank >= min(difference.flatten(1).shape):
            return exact(difference)
        up, down = (part.float() for part in low_rank(difference, rank))
        up, down = ((fp8("", one.flatten(1))[0] if in_fp8 else one.half().float().flatten(1)) for one in (up, down))
        size = (1 if in_fp8 else 2) * (up.numel() + down.numel())
        return (up @ down).view_as(difference), size

    return cut


def as_differences(
    experts: list[Weights], rounding: Rounding, first: Rounding | None = None
) -> tuple[Any, float, float]:
    """The experts that are left, the bytes, and the share of the squared difference that is kept."""
    base, size = {}, 0.0
    for name, weight in experts[0].items():
        base[name], one = first(name, weight) if first else exact(weight)
        size += one
    made, lost, whole = [base], 0.0, 0.0
    for expert in experts[1:]:
        made.append({})
        for name, weight in expert.items():
            difference = weight - base[name]
            left, one = rounding(name, difference) if difference.any() else (difference, 0)
            made[-1][name] = base[name] + left
            size += one
            lost += float((difference - left).square().sum())
            whole += float(difference.square().sum())
    return made, size, 1 - lost / whole


def as_copies(experts: list[Weights], rounding: Rounding) -> tuple[Any, float, None]:
    found = [{name: rounding(name, weight) for name, weight in one.items()} for one in experts]
    size = sum(size for one in found for _, size in one.values())
    return [{name: weight for name, (weight, _) in one.items()} for one in found], size, None


def arms(quick: bool) -> dict[str, Callable[[list[Weights]], tuple[Any, float, float | None]]]:
    """Name -> a function from the experts' weights to those that are left, bytes, and the share that is kept."""
    kinds: dict[str, Any] = {"whole": lambda experts: as_copies(experts, lambda _, weight: exact(weight))}
    kinds |= {f"rank {r}": lambda experts, r=r: as_differences(experts, of_rank(r)) for r in RANKS}
    kinds["rank 16, fp8"] = lambda experts: as_differences(experts, of_rank(16, in_fp8=True))
    kinds |= {f"{b} bits": lambda experts, b=b: as_differences(experts, in_bits(b)) for b in (1, 2, 4)}
    kinds |= {"fp8": lambda experts: as_copies(experts, fp8), "int8": lambda experts: as_copies(experts, int8)}
    kinds["fp8 and 2 bits"] = lambda experts: as_differences(experts, in_bits(2), fp8)
    if quick:
        return {name: kinds[name] for name in ("whole", "rank 8", "rank 16", "1 bits", "2 bits", "fp8")}
    near = ("whole", "rank 8", "2 bits", "fp8", "int8")
    return kinds | {f"near, {name}": lambda experts, name=name: kinds[name](nearer(experts)) for name in near}


def nearer(experts: list[Weights]) -> list[Weights]:
    """The experts with those after the first moved towards it."""
    first = experts[0]
    moved = [{name: first[name] + NEAR * (w - first[name]) for name, w in one.items()} for one in experts[1:]]
    return [first, *moved]


# --- scores -----------------------------------------------------------------------------------------------------------


def spread(items: list[str], count: int) -> list[str]:
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


def scores(pack: ModuleType, experts: list[Weights], texts: list[str], folder: Path) -> dict[str, list[float]]:
    """Preset -> scores of the texts, by experts with these weights, loaded as the shipped ones are."""
    import torch
    from emoe_testing.scoring import score_prompts
    from known_truth import columns, prompts
    from safetensors.torch import save_file

    host, made = pack.emoe_core.hosts.comfyui, pack.emoe_core.experts.sets.ExpertSet()
    for number, weights in enumerate(experts, 1):
        path = folder / f"expert_{number}.safetensors"
        save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
        model, clip = host.experts.demo.load_demo_expert(path)
        made = made.add(host.experts.load.expert_from_model(model, clip, path.stem))
    encoded = (host.prompts.conditioning.encode_for_experts(made, text) for text in texts)
    main, *also = PRESETS.values()
    how = {"tap": main[0], "estimator": main[1], "also": also, "brief": True, **prompts.HOW}
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    found = columns.of_ensemble(one.report for one in score_prompts(host, made, encoded, latent, **how))
    return {preset: found[".".join(reading)] for preset, reading in PRESETS.items()}


def by_group(values: list[float], groups: dict[str, list[str]]) -> dict[str, list[float]]:
    rest = iter(values)
    return {group: list(itertools.islice(rest, len(texts))) for group, texts in groups.items()}


def figures_of(found: list[float], whole: list[float], groups: dict[str, list[str]]) -> dict[str, float]:
    from emoe_core.gating.proof import TOLERANCE
    from emoe_core.stats.evaluation import auroc, spearman

    new, old = by_group(found, groups), by_group(whole, groups)
    unknown = [group for group in groups if group not in GOOD]
    mean = {
        name: statistics.fmean(auroc(scores["fresh"], scores[group]) for group in unknown)
        for name, scores in (("new", new), ("old", old))
    }
    apart = [a - b for a, b in zip(new["calibration"], old["calibration"], strict=True)]
    tolerance = TOLERANCE * statistics.pstdev(old["calibration"])
    return {
        "rank_correlation": spearman(found, whole),
        "auroc": mean["new"],
        "auroc_difference": mean["new"] - mean["old"],
        "proof_over_tolerance": math.sqrt(statistics.fmean(one * one for one in apart)) / tolerance,
        **promise(new, new, unknown, ""),
        **promise(new, old, unknown, "_by_whole"),
    }


def promise(new: Any, by: Any, unknown: list[str], ending: str, splits: int = 2000) -> dict[str, float]:
    """Shares of known and unknown prompts that a gate at `ALPHA` blocks, over splits of the known ones into two halves."""
    scores, reference = ([one for group in GOOD for one in part[group]] for part in (new, by))
    rng, order, shares, caught = random.Random(0), list(range(len(scores))), [], []
    others = sorted(one for group in unknown for one in new[group])
    for _ in range(splits):
        rng.shuffle(order)
        half = len(order) // 2
        ranked = sorted((reference[i] for i in order[:half]), reverse=True)
        threshold = ranked[math.floor(ALPHA * (half + 1)) - 1]
        shares.append(statistics.fmean(scores[i] >= threshold for i in order[half:]))
        caught.append(statistics.fmean(one >= threshold for one in others))
    return {f"known_blocked{ending}": statistics.fmean(shares), f"unknown_blocked{ending}": statistics.fmean(caught)}


# --- bytes ------------------------------------------------------------------------------------------------------------


def sdxl_sizes() -> dict[str, float]:
    """Form -> bytes of four SDXL experts, network and text encoders, over those of one in fp16; from the shapes alone."""
    from checkpoints import checkpoint_shapes

    shapes = [(name, shape) for name, shape in checkpoint_shapes(FAMILIES["sdxl"], vae=False) if math.prod(shape)]
    one = 2 * sum(math.prod(shape) for _, shape in shapes)

    def difference(size: Callable[[int, int], float]) -> float:
        rows = ((shape[0], math.prod(shape[1:])) for _, shape in shapes if len(shape) > 1)
        vectors = sum(math.prod(shape) for _, shape in shapes if len(shape) < 2)
        return 4 * vectors + sum(min(size(*shape), 2 * math.prod(shape)) for shape in rows)

    sizes: dict[str, Callable[[int, int], float]] = {
        f"rank {r}": lambda rows, columns, r=r: 2 * r * (rows + columns) for r in (16, 32, 64, 128)
    }
    sizes |= {f"{b} bits": lambda rows, columns, b=b: rows * (math.ceil(columns * b / 8) + 4) for b in (1, 2, 4)}
    found = {name: (one + 3 * difference(size)) / one for name, size in sizes.items()}
    return {"whole": 4.0, "fp8": 2.0} | found


# --- memory -----------------------------------------------------------------------------------------------------------


def resident() -> dict[str, float]:
    """Resident memory of this process, now and at its peak, in GB (Linux)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmHWM", "VmRSS"))}
    return {"now": int(found["VmRSS"]) / 1e6, "peak": int(found["VmHWM"]) / 1e6}


def files(folder: Path) -> list[str]:
    """Names of four checkpoints in a folder, written when they are not there."""
    from checkpoints import checkpoint_shapes, write_checkpoint

    names = [f"slim_{number}.safetensors" for number in range(4)]
    for number, name in enumerate(names):
        if not (folder / name).exists():
            write_checkpoint(folder / name, dict(checkpoint_shapes(FAMILIES["sd15"], vae=False)), number)
    return names


def loaded(folder: Path, load: str) -> dict[str, Any]:
    """Memory and processor time of Load Experts and of two prompts."""
    from emoe_testing.scoring import score_prompt

    family = replace(FAMILIES["sd15"], side=16)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as base, ExitStack() as host_is_up:
        (Path(base) / "models").mkdir()
        (Path(base) / "models" / "checkpoints").symlink_to(folder.resolve(), target_is_directory=True)
        pack = host_is_up.enter_context(comfyui("--bf16-unet", base=Path(base)))
        names, host = files(folder), pack.emoe_core.hosts.comfyui
        before, clock = resident(), time.process_time()
        made = host.experts.load.load_experts(names, load)
        found: dict[str, Any] = {"before": before, "loaded": resident(), "seconds_to_load": time.process_time() - clock}
        for number in (1, 2):
            clock = time.process_time()
            how = {**HOW, "noise_samples": 1, "tap": "noise_pred", "estimator": "relative"}
            score_prompt(host, made, prompt(family, number), latent(family), **how)
            found["seconds_to_score"] = time.process_time() - clock
        return {**found, "scored": resident()}


def memory(folder: Path, path: Path | None) -> int:
    figures: dict[str, Any] = {**conditions(), "arms": {}}
    for load in ("whole", "slim"):
        command = [sys.executable, __file__, "--memory", str(folder), "--child", load]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        arm = figures["arms"][load] = json.loads(done.stdout.splitlines()[-1])
        grown = {when: arm[when]["now"] - arm["before"]["now"] for when in ("loaded", "scored")}
        print(
            f"{load:6} {grown['loaded']:5.2f} GB after loading, {grown['scored']:5.2f} GB after scoring; "
            f"{arm['seconds_to_load']:5.1f} s to load, {arm['seconds_to_score']:5.1f} s per prompt"
        )
        write(path, figures)
    return 0


def bits_in_use(pack: ModuleType) -> str:
    return f"{pack.emoe_core.hosts.comfyui.experts.slim.BITS} bits"


def lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'form':22}{'bytes':>7}{'kept':>7}{'rank corr.':>12}{'AUROC':>8}{'blocked: known':>16}{'unknown':>9}"
    for name, arm in found.items():
        one = arm["layout"]
        kept = "" if arm["kept"] is None else f"{arm['kept']:.3f}"
        yield (
            f"{name:22}{arm['bytes']:7.2f}{kept:>7}{one['rank_correlation']:12.4f}{one['auroc']:8.4f}"
            f"{one['known_blocked']:16.3f}{one['unknown_blocked']:9.3f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer prompts and forms")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go, after every form")
    parser.add_argument("--memory", type=Path, metavar="FOLDER", help="measure memory; the checkpoints lie there")
    parser.add_argument("--child", choices=("whole", "slim"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    enter_host()
    if options.child:
        print(json.dumps(loaded(options.memory, options.child)))
        return 0
    if options.memory:
        return memory(options.memory, options.json)
    with comfyui() as pack, tempfile.TemporaryDirectory() as folder:
        from safetensors.torch import load_file

        demo = pack.emoe_core.demo
        most = 4 if options.quick else 24
        groups = {name: texts if name in GOOD else spread(texts, most) for name, texts in demo.prompts().items()}
        texts = [text for group in groups.values() for text in group]
        whole = [{name: w.float() for name, w in load_file(path).items()} for path in demo.expert_files()]
        one = 2 * sum(weight.numel() for weight in whole[0].values())
        figures: dict[str, Any] = {**conditions(), "prompts": len(texts), "sdxl": sdxl_sizes(), "arms": {}}
        if options.json and options.json.is_file():
            before = json.loads(options.json.read_text("utf-8"))
            figures["arms"] = before["arms"] if before["prompts"] == len(texts) else {}
        found = figures["arms"]
        for name, make in arms(options.quick).items():
            if name not in found:
                left, size, kept = make(whole)
                found[name] = {"bytes": size / one, "kept": kept, "scores": scores(pack, left, texts, Path(folder))}
                against = found["near, whole" if name.startswith("near") else "whole"]["scores"]
                for preset in PRESETS:
                    found[name][preset] = figures_of(found[name]["scores"][preset], against[preset], groups)
                write(options.json, figures)
                print(f"{name} done", file=sys.stderr, flush=True)
        chosen = bits_in_use(pack)
    print("\n".join(lines(found)))
    print("four SDXL experts, times one: " + ", ".join(f"{name} {size:.2f}" for name, size in figures["sdxl"].items()))
    layout = found[chosen]["layout"]
    claims = [
        Claim(f"{chosen}: 1 - rank correlation with the full score", 1 - layout["rank_correlation"], 0.02),
        Claim(f"{chosen}: change of the mean AUROC", abs(layout["auroc_difference"]), 0.005),
        Claim(f"{chosen}: four SDXL experts over one", figures["sdxl"][chosen], 1.6),
        Claim(f"{chosen}: known prompts blocked at alpha {ALPHA}", layout["known_blocked"], ALPHA),
    ]
    return report(claims, figures, options.json)


if __name__ == "__main__":
    sys.exit(main())
