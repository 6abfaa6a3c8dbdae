"""Makes the calibrations that ship with the demo experts: every preset, in a real ComfyUI, on the reference prompts.

    python tools/calibrate_demo.py [--preset fast --preset thorough ...]

The reference prompts are the group `calibration` of emoe_core/demo/prompts.json: English names that the experts were
trained on. The settings are those of the example workflow gate_before_generation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT))

from emoe_host import graphs  # noqa: E402
from emoe_host.client import Client  # noqa: E402
from emoe_host.prepare import prepare  # noqa: E402
from emoe_host.server import Server  # noqa: E402

from emoe_core.records.calibration import Calibration  # noqa: E402
from emoe_core.records.settings import Settings  # noqa: E402
from emoe_core.scoring.presets import PRESETS  # noqa: E402

WORKFLOW = "gate_before_generation"
GROUP = "calibration"
REFERENCE = "Names of emoji in English that the demo experts were trained on."
#: Passes everything, so only the score matters.
OPEN_GATE = {"policy": "raw_threshold", "threshold": 1e12, "mode": "observe", "filename_prefix": "calibrate/verdict"}


def scoring_graph(preset: str) -> dict[str, Any]:
    """The example workflow up to its gate: nothing is drawn."""
    graph = graphs.load(WORKFLOW)
    gate, score = graphs.only(graph, "EMoE_Gate"), graphs.only(graph, "EMoE_Score")
    graph[gate]["inputs"] |= OPEN_GATE
    graph[score]["inputs"]["preset"] = preset
    wanted: dict[str, Any] = {}
    todo = [gate]
    while todo:
        node = todo.pop()
        wanted[node] = graph[node]
        todo += [value[0] for value in graph[node]["inputs"].values() if isinstance(value, list)]
    return wanted


def report_of(client: Client, graph: dict[str, Any], prompt: str, output: Path) -> dict[str, Any]:
    """One prompt's report, from the verdict's file."""
    graphs.set_prompt(graph, prompt)
    result = client.run(graph)
    if not result.ok:
        raise SystemExit(f"error: '{prompt}' could not be scored: {result.error}")
    (file,) = result.files("files")
    kept: dict[str, Any] = json.loads((output / file["subfolder"] / file["filename"]).read_text(encoding="utf-8"))
    report: dict[str, Any] = kept["report"]
    return report


def calibrate(client: Client, preset: str, prompts: list[str], output: Path) -> Calibration:
    """Scores every prompt under one preset."""
    graph = scoring_graph(preset)
    scores: list[float] = []
    settings: set[Settings] = set()
    started = time.monotonic()
    for done, prompt in enumerate(prompts, 1):
        report = report_of(client, graph, prompt, output)
        scores.append(report["score"])
        settings.add(Settings.from_dict(report["settings"]))
        left = (time.monotonic() - started) / done * (len(prompts) - done)
        print(f"\r{preset}: {done} of {len(prompts)}, {left:.0f} s left ", end="", flush=True)
    print()
    if len(settings) != 1:
        raise SystemExit(
            "error: the settings changed between prompts, so their scores cannot stand in one calibration."
        )
    return Calibration(f"demo experts, {preset}", settings.pop(), tuple(scores), tuple(prompts), REFERENCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", action="append", choices=list(PRESETS), help="only these presets (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "emoe_core" / "demo" / "calibrations")
    arguments = parser.parse_args()
    prompts = json.loads((ROOT / "emoe_core" / "demo" / "prompts.json").read_text(encoding="utf-8"))[GROUP]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with Server(prepare()) as server:
        client = Client(server.url)
        for preset in arguments.preset or PRESETS:
            calibrate(client, preset, prompts, server.output).save(arguments.output / f"{preset}.json")


if __name__ == "__main__":
    main()
