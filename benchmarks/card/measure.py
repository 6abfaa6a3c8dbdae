"""What the pack gives and costs on a graphics card, in a few minutes and without a network.

    python benchmarks/card/measure.py --out FOLDER --carried FOLDER   on the machine with the card
    python benchmarks/card/measure.py --out FOLDER --dry              on a processor, with small networks: does it all run?

`carry.py` packs the folder to carry. Parts, which --parts chooses from:

    checks    the demo, calibrations from one device on the other, the host tests with their models on the card
    prices    SD1.5 and SDXL at full size with random weights: seconds, memory and bytes of every score, beside an image

Figures go to FOLDER/card.json after every step, a table to FOLDER/card.md, logs to FOLDER/logs.tar.gz. Past --minutes no new
step begins, and what is missing says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

from common import FAMILIES, enter_host  # noqa: E402
from emoe_host.prepare import Host, prepare  # noqa: E402

from card import machine  # noqa: E402
from card.graphs import Sizes  # noqa: E402
from card.watch import Card  # noqa: E402

PARTS = ("checks", "prices")


@dataclass(frozen=True)
class Measured:
    """A family and its checkpoints: how many, and the width of the picture."""

    name: str
    files: int
    width: int
    steps: int = 25


WHOLE = (Measured("sdxl", 4, 1024), Measured("sd15", 8, 512))
DRY = (Measured("tiny", 2, 64, 2),)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--carried", type=Path, metavar="FOLDER")
    parser.add_argument("--dry", action="store_true", help="small networks on the processor, in the prepared ComfyUI")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--families", nargs="+", choices=[one.name for one in WHOLE], help="default: both")
    parser.add_argument("--experts", type=int, default=8, help="at most (default 8)")
    parser.add_argument("--setups", type=int, default=99, help="how many of a family's setups, the most wanted first")
    parser.add_argument("--tests", nargs="*", default=["tests/host"], help="host tests to run, on the newest ComfyUI")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--check-minutes", type=float, default=2.5, help="of these at most for the checks")
    options = parser.parse_args()
    if bool(options.carried) == options.dry:
        parser.error("name the folder that was carried along, or --dry")
    if options.dry:
        enter_host()
    else:
        os.environ["EMOE_DEVICE"] = "card"
    with tempfile.TemporaryDirectory(prefix="emoe-card-") as folder, folder_of_models() as models:
        return measure(options, Path(folder), Path(models))


def measure(options: argparse.Namespace, work: Path, models: Path) -> int:
    from card import prices, table  # here, since the client needs the Python that ComfyUI is prepared for

    started = time.monotonic()

    def left() -> float:
        return float(options.minutes * 60 - (time.monotonic() - started))

    options.out.mkdir(parents=True, exist_ok=True)
    logs = work / "logs"
    logs.mkdir()
    card = Card()
    hosts = [prepare()] if options.dry else machine.prepare(options.carried.resolve(), work)
    if (page := work / "frontend").is_dir():
        os.environ["EMOE_FRONTEND"] = str(page)
    figures: dict[str, Any] = {
        **card.about(),
        "comfyui": [host.version for host in hosts],
        "dry": options.dry,
        "setup_seconds": round(time.monotonic() - started, 1),
        "checks": {},
        "servers": [],
        "rows": [],
    }

    def save() -> None:
        figures["seconds"] = round(time.monotonic() - started, 1)
        (options.out / "card.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")

    families = [one for one in (DRY if options.dry else WHOLE) if one.name in (options.families or [one.name])]
    families = [replace(one, files=min(one.files, options.experts)) for one in families]
    with ThreadPoolExecutor(1) as pool:
        # Checkpoints are written while the checks run; nothing is timed then.
        writing = pool.submit(written, hosts[0], families, models) if "prices" in options.parts else None
        if "checks" in options.parts and not options.dry:
            from card import checks

            limit = min(left(), options.check_minutes * 60)
            figures["checks"] = checks.everything(hosts, work, logs, limit, options.tests)
            save()
        made = writing.result() if writing else {}
    figures["written_seconds"] = round(time.monotonic() - started, 1)
    save()
    plan = []
    for family in families if made else ():
        wanted = (
            [prices.Setup("dry", brief=True), prices.Setup("dry, extra", brief=True, extra=True)]
            if options.dry
            else prices.setups(card, made[family.name][1])
        )
        sizes = Sizes(made[family.name][0], family.width, family.steps)
        plan += [(setup, family.name, sizes) for setup in wanted[: options.setups]]
    for group in prices.by_flags(plan):
        about = prices.measure(hosts[0], card, group, models, figures["rows"], save, left, logs)
        figures["servers"].append(about)
        save()
    text = table.markdown(figures)
    (options.out / "card.md").write_text(text, encoding="utf-8")
    print(text)
    with tarfile.open(options.out / "logs.tar.gz", "w:gz") as archive:
        archive.add(logs, "logs")
    return int(any("error" in one for one in (*figures["rows"], *figures["servers"])))


def folder_of_models() -> tempfile.TemporaryDirectory[str]:
    """In memory where there is room: what is measured is the way from memory to the card, not a disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 100e9
    return tempfile.TemporaryDirectory(prefix="emoe-models-", dir=memory if roomy else None)


def written(host: Host, families: Sequence[Measured], models: Path) -> dict[str, tuple[tuple[str, ...], int]]:
    """Each family's names of the checkpoints and bytes of one U-Net."""
    made = {}
    for family in families:
        unet = sum(2 * math.prod(shape) for _, shape in FAMILIES[family.name].plan.shapes())
        names = tuple(f"{family.name}_{number + 1}.safetensors" for number in range(family.files))
        env = {**os.environ, "EMOE_DEVICE": "processor", "EMOE_BENCHMARK_HOST": str(host.comfyui)}
        script, folder = Path(__file__).with_name("write.py"), models / "checkpoints"
        subprocess.run([str(host.python), str(script), family.name, str(folder), *names], env=env, check=True)
        made[family.name] = (names, unet)
    return made


if __name__ == "__main__":
    sys.exit(main())
