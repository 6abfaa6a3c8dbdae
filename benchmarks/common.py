"""Shared parts of the cost, memory and scale benchmarks: full-size networks with random weights, and arms run in turn.

Neither operations nor memory depend on the weights' values, so none are downloaded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

from emoe_testing import unet  # noqa: E402

TREE = "EMOE_BENCHMARK_HOST"
HOW = {"add_noise": True, "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0, "noise_samples": 1}


@dataclass(frozen=True)
class Family:
    """A network and the picture it is made for.

    Attributes:
        side: of the latent; the picture is eight times as wide.
    """

    name: str
    plan: unet.UNet
    side: int


FAMILIES = {
    "sd15": Family("sd15", unet.SD15_FULL, 64),
    "sdxl": Family("sdxl", unet.SDXL_FULL, 128),
    "tiny": Family("tiny", unet.sd15(), 16),
}


def enter_host() -> None:
    """Starts this script again, once, in the Python that ComfyUI is prepared for."""
    if os.environ.get(TREE):
        return
    from emoe_host.prepare import prepare

    host = prepare()
    os.environ[TREE] = str(host.comfyui)
    os.execv(str(host.python), [str(host.python), *sys.argv])


@contextlib.contextmanager
def comfyui(*flags: str, base: Path | None = None) -> Iterator[ModuleType]:
    """The pack inside ComfyUI in this process, without gradients, as ComfyUI runs its nodes."""
    from emoe_host.inprocess import import_comfyui, load_pack

    with tempfile.TemporaryDirectory() as folder:
        base = base or Path(folder)
        import_comfyui(Path(os.environ[TREE]), base, *flags)
        import torch

        pack = load_pack(base)
        logging.disable(logging.INFO)
        with torch.inference_mode():
            yield pack


def model(family: Family, seed: int, dtype: Any) -> Any:
    """A MODEL with random weights, built as ComfyUI's loader builds it, without a file."""
    import comfy.model_detection
    import comfy.model_patcher
    import torch

    shapes = {f"model.diffusion_model.{name}": shape for name, shape in family.plan.shapes()}
    shells = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = comfy.model_detection.model_config_from_unet(shells, "model.diffusion_model.")
    config.set_inference_dtype(dtype, None)
    made = config.get_model(shells, "model.diffusion_model.", device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in made.diffusion_model.named_parameters():
        if weight.ndim == 1:
            weight.data.fill_(float(name.endswith("weight") and "norm" in name))
            if name.endswith(("in_layers.0.weight", "out_layers.0.weight", "out.0.weight", ".norm.weight")):
                weight.data.fill_(1.0)
        else:
            bound = (3 / weight[0].numel()) ** 0.5  # variance 1 / fan-in
            weight.data.uniform_(-bound, bound, generator=generator)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(made, load_device=cpu, offload_device=cpu)


def experts(pack: ModuleType, family: Family, count: int, dtype: Any, one_network: bool) -> Any:
    """An expert set; with `one_network` all experts are clones of one model, for machines with little memory."""
    host, made = pack.emoe_core.hosts.comfyui, pack.emoe_core.experts.sets.ExpertSet()
    first = host.experts.load.expert_from_model(model(family, 0, dtype), None, "expert 1")
    for number in range(count):
        expert = first
        if number and one_network:
            expert = replace(first, name=f"expert {number + 1}", model=first.model.clone())
        elif number:
            # Other seeds would have no common descent and be refused; the weights themselves do not matter here.
            moved = host.experts.load.expert_from_model(model(family, number, dtype), None, f"expert {number + 1}")
            expert = replace(moved, signature=first.signature)
        made = made.add(replace(expert, clip=FixedClip(family)))
    return made


def prompt(family: Family, seed: int) -> Any:
    """A CONDITIONING of random numbers, of the family's width."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, 77, family.plan.context, generator=generator)
    return [[text, {"pooled_output": torch.randn(1, 1280, generator=generator)}]]


class FixedClip:
    """Replaces a text encoder whose work is done: any text becomes one fixed encoding."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> Any:
        return prompt(self.family, len(tokens))


def latent(family: Family, batch: int = 1) -> dict[str, Any]:
    import torch

    return {"samples": torch.zeros(batch, 4, family.side, family.side)}


def for_warming(family: Family) -> Family:
    """The family with a small picture: whatever is made, read or first touched in the first call is so at any size."""
    return replace(family, side=min(family.side, 16))


def in_turn(
    arms: dict[str, Callable[[], object]],
    warm: dict[str, Callable[[], object]],
    rounds: int,
    after_round: Callable[[dict[str, dict[str, float]]], None],
) -> dict[str, dict[str, float]]:
    """Runs the arms of `warm` once, then all arms in turn, forwards and backwards, and returns medians in seconds.

    `cpu` is the process's own computing time over all threads, which other work on the machine disturbs least. `wall`
    is the clock's.
    """
    for arm in warm.values():
        arm()
    times: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "wall": []} for name in arms}
    medians: dict[str, dict[str, float]] = {}
    for number in range(rounds):
        for name in list(arms) if number % 2 == 0 else reversed(arms):
            cpu, wall = time.process_time(), time.perf_counter()
            arms[name]()
            times[name]["cpu"].append(time.process_time() - cpu)
            times[name]["wall"].append(time.perf_counter() - wall)
        medians = {name: {clock: statistics.median(t) for clock, t in clocks.items()} for name, clocks in times.items()}
        after_round(medians)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return medians


def conditions() -> dict[str, Any]:
    """The conditions of the measurement."""
    import torch

    cpu = next((x.split(":")[1].strip() for x in _cpuinfo() if x.startswith("model name")), platform.processor())
    return {"processor": cpu, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.is_file() else []


@dataclass(frozen=True)
class Claim:
    """A figure and its limit."""

    what: str
    value: float
    most: float | None

    @property
    def holds(self) -> bool:
        return self.most is None or self.value <= self.most

    def line(self) -> str:
        limit = "" if self.most is None else f"at most {self.most:<7g} {'holds' if self.holds else 'FAILS'}"
        return f"{self.what:64} {self.value:8.4f}  {limit}"


def write(path: Path | None, figures: dict[str, Any]) -> None:
    """Saves the figures so far."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def report(claims: list[Claim], figures: dict[str, Any], path: Path | None) -> int:
    """Prints the table, saves it, and returns the exit code: 1 when a claim fails."""
    print("\n".join(claim.line() for claim in claims))
    listed = [{"what": c.what, "value": c.value, "most": c.most, "holds": c.holds} for c in claims]
    write(path, {**figures, "claims": listed, "claims_hold": all(c.holds for c in claims)})
    return 0 if all(c.holds for c in claims) else 1
