"""Makes the labelled calibration of the demo experts, for trying Gate Quality Report and thresholds of groups.

    python tools/label_demo.py

Names of emoji in the five best-sampled languages, scored by the pack's own Calibrate from a prompt file. A name is marked as
bad when the experts saw this exact text less than three times in training, according to ground_truth.json. So bad means that
it is not known well, not that its picture came out wrong. The settings are those of the default preset and the example
workflows.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

LANGUAGES = ("en", "fr", "de", "es", "it")
SEEN = 3
HOW = {"add_noise": True, "noise_seed": 0, "steps": 20, "scheduler": "normal", "at_step": 0, "noise_samples": 2}
TARGET = ROOT / "emoe_core" / "demo" / "labelled.json"


def rows(demo: Any) -> list[tuple[str, str, str]]:
    """Prompt, language, and "yes" for a bad one."""
    seen: dict[str, int] = {}
    for concept in demo.ground_truth()["concepts"]:
        for text, times in concept["exposure"].items():
            seen[text] = seen.get(text, 0) + times
    prompts = demo.prompts()
    groups = {name: prompts[name] for name in LANGUAGES[1:]} | {"en": prompts["calibration"] + prompts["fresh"]}
    return [(text, name, "yes" if seen.get(text, 0) < SEEN else "no") for name in LANGUAGES for text in groups[name]]


def main() -> None:
    if not os.environ.get("EMOE_TOOL_HOST"):
        from emoe_host.prepare import prepare

        host = prepare()
        os.environ |= {"EMOE_TOOL_HOST": str(host.comfyui)}
        os.execv(str(host.python), [str(host.python), __file__, *sys.argv[1:]])
    import torch
    from emoe_host.inprocess import import_comfyui, load_pack

    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_TOOL_HOST"]), Path(base))
        pack = load_pack(Path(base))
        core, host_room = pack.emoe_core, pack.emoe_core.hosts.comfyui
        with open(Path(base) / "input" / "demo.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("prompt", "language", "bad"), *rows(core.demo)])
        references = host_room.calibrating.reference_prompts("", "demo.csv", core.gating.reference_prompts.BAD_BELOW)
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        made = host_room.calibrating.calibrate(
            host_room.experts.demo_set.embedded_experts(),
            references,
            latent,
            "demo experts, labelled",
            None,
            core.scoring.presets.ScoreOptions(**HOW),
        )
    made.save(TARGET)
    print(made.line())


if __name__ == "__main__":
    main()
