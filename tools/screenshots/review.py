"""Takes the picture of the tab Review, dark beside light, `docs/images/review.png`: `python tools/screenshots/review.py`.

The demo experts draw the pictures on a server of its own, and keys mark them.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page  # noqa: E402
from emoe_host.client import Client  # noqa: E402
from emoe_host.graphs import filled, load, only  # noqa: E402
from emoe_host.prepare import prepare  # noqa: E402
from emoe_host.server import Server, stopped_by_sigterm  # noqa: E402
from keeping import save_small  # noqa: E402
from PIL import Image  # noqa: E402

from emoe_core.demo import FOLDER  # noqa: E402
from emoe_core.records.calibration import Calibration  # noqa: E402
from emoe_core.trial.store import Drawn, Reading, Trial  # noqa: E402

NAME = "my checkpoints"
SHOWN = "sunflower"
GOOD = ("rainbow", "green apple", "lion", "strawberry", "whale", "rocket", "candle", "ant", "tractor", "pizza")
#: As many as it takes before an interval is shown.
BAD = ("xchtgg", "pizza wolf", "qwvrtz", "blorp", "red horse house", "trekta", "vbnmk", "zzyzx")
PROMPTS = (SHOWN, *(prompt for pair in zip(GOOD, (*BAD, "", ""), strict=True) for prompt in pair if prompt))
AREA = (0, 38, 430, 650)


def draw(server: Server) -> None:
    """A trial of the prompts, with the scores that the Gate gives them."""
    trial = Trial(server.base / "user" / "emoe" / "trials" / f"{NAME}.sqlite3")
    trial.begin({})
    reading = Reading("layout", Calibration.load(FOLDER / "calibrations" / "layout.json").settings)
    client = Client(server.url)
    for row, prompt in enumerate(PROMPTS):
        graph = filled(load("gate_before_generation"), prompt, "review")
        gate = only(graph, "EMoE_Gate")
        graph[gate]["inputs"]["mode"] = "observe"
        run = client.run(graph)
        (image,) = run.images
        drawn = Drawn(0, "", image["filename"], image["subfolder"], image["type"])
        trial.add(f"{row}", row, prompt, {}, {reading: run.outputs[gate]["emoe"][0]["score"]}, [drawn])


def main() -> int:
    with stopped_by_sigterm(), Server(prepare()) as server:
        draw(server)
        change_settings(server.url, SETTINGS)
        with open_browser() as chromium, open_page(chromium, server.url) as page:
            page.locator(".emoe-review-tab-button, [data-testid='emoe-review-tab-button']").click()
            tab = page.locator(".emoe-review")
            for _ in PROMPTS:
                page.locator(".emoe-review [data-act='good'][aria-disabled='false']").wait_for()
                page.wait_for_timeout(500)
                prompt = tab.locator("figcaption").inner_text()
                page.keyboard.press("s" if prompt == SHOWN else "b" if prompt in BAD else "g")
            tab.get_by_role("button", name="Show the skipped ones again").click()
            page.wait_for_timeout(1000)
            halves = []
            for theme in ("dark", "light"):
                page.evaluate("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", theme)
                page.wait_for_timeout(500)
                halves.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").crop(AREA))
    width, height = halves[0].size
    photo = Image.new("RGB", (2 * width, height))
    for number, half in enumerate(halves):
        photo.paste(half, (number * width, 0))
    target = ROOT / "docs" / "images" / "review.png"
    save_small(photo, target)
    print(f"{target.name}: {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
