"""Takes the README's pictures of the first graph in a newer frontend: with Nodes 2.0, and advanced inputs folded.

    COMFYUI_PATH=../ComfyUI EMOE_PYTHON=... EMOE_FRONTEND=FOLDER python tools/screenshots/first_graph.py

Needs a ComfyUI whose node API knows advanced inputs; the tests' prepared one is too old.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import browser  # noqa: E402
from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page  # noqa: E402
from emoe_host.prepare import prepare  # noqa: E402
from emoe_host.server import Server, stopped_by_sigterm  # noqa: E402
from keeping import save_small  # noqa: E402
from layouts import LAYOUTS  # noqa: E402
from layouts.parts import UNKNOWN  # noqa: E402
from PIL import Image  # noqa: E402

NAME = "gate_before_generation"
PICTURES = {"first_graph.png": None, "blocked_graph.png": UNKNOWN}
#: Share of the canvas's pixels that a picture keeps: the smallest at which the words can be read.
SCALE = 0.85


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    workflow = json.loads((ROOT / "example_workflows" / f"{NAME}.json").read_text("utf-8"))
    with stopped_by_sigterm(), Server(prepare()) as server, open_browser() as chromium:
        change_settings(server.url, {**SETTINGS, "Comfy.VueNodes.Enabled": True, "EMoE.SayWhenBlocked": False})
        for file, prompt in PICTURES.items():
            with open_page(chromium, server.url) as page:
                browser.reopen(page, NAME, workflow)
                if not page.get_by_text("Show advanced inputs").count():
                    raise SystemExit(
                        f"error: ComfyUI {server.host.version} folds no inputs; name a newer one with COMFYUI_PATH"
                    )
                if prompt is not None:
                    browser.set_prompt(page, prompt)
                if (state := browser.run(page)) != "success":
                    raise SystemExit(f"error: {file}: {state}")
                photo = Image.open(io.BytesIO(browser.photograph(page, LAYOUTS[NAME]))).convert("RGB")
            photo = photo.resize((round(photo.width * SCALE), round(photo.height * SCALE)), Image.Resampling.LANCZOS)
            target = ROOT / "docs" / "images" / file
            save_small(photo, target)
            print(f"{file}: {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
