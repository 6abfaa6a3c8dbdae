"""Takes the picture of a template in the app mode of a newer frontend, `docs/images/app_mode.png`.

EMOE_FRONTEND=FOLDER bash scripts/demo.sh --keep        # a server with that frontend
python tools/screenshots/app_mode.py --url URL
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from emoe_host.browser import SETTINGS, change_settings, open_app_mode, open_browser, open_page, run_app  # noqa: E402
from keeping import save_small  # noqa: E402
from PIL import Image  # noqa: E402

NAME, PROMPT = "gate_before_generation", "xchtgg"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="a running ComfyUI with the pack and a newer frontend")
    url = parser.parse_args().url
    change_settings(url, {**SETTINGS, "EMoE.SayWhenBlocked": False})
    workflow = json.loads((ROOT / "example_workflows" / f"{NAME}.json").read_text("utf-8"))
    with (
        open_browser() as chromium,
        open_page(chromium, url, viewport={"width": 1500, "height": 900}) as page,
    ):
        page.evaluate("async ([w, n]) => { await app.loadGraphData(w, true, true, n); }", [workflow, NAME])
        page.wait_for_timeout(1000)
        open_app_mode(page)
        if (state := run_app(page, PROMPT)) != "success":
            raise SystemExit(f"error: {state}")
        page.get_by_test_id("linear-center-panel").locator("img[src*='emoe_card']").last.click()
        page.wait_for_timeout(1500)
        photo = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target = ROOT / "docs" / "images" / "app_mode.png"
    save_small(photo, target)
    print(f"{target.name}: {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
