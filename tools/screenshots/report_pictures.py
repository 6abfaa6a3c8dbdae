"""Takes the pictures of the audit's report and of a trial's page for the documentation.

    python tools/screenshots/report_pictures.py [--audit AUDIT] [--map AUDIT] [--trial PAGE]

AUDIT is the folder of a finished audit. The pictures in docs/images show the demo experts':

    python -m emoe_core audit demo --experts demo --alpha 0.1 --reference language=en --reference "kind=well known" --out AUDIT
    python -m emoe_core audit regions --experts demo --alpha 0.1 --group territory --out MAP

PAGE is the trial.html that `bash scripts/prove_demo.sh` leaves. Needs `playwright` and a chromium on PATH.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from emoe_host.browser import open_browser  # noqa: E402
from keeping import save_small  # noqa: E402
from PIL import Image  # noqa: E402

from emoe_core.audit.report import write  # noqa: E402
from emoe_core.audit.result import AuditResult  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZES = {"desktop": (1280, 1620, 1.0), "phone": (390, 1000, 1.5)}
SHOWN = (("desktop", "light"), ("phone", "light"), ("phone", "dark"))


def keep(shot: bytes, name: str) -> str:
    """Writes the picture with 256 colours; returns a line with its size."""
    photo = Image.open(io.BytesIO(shot)).convert("RGB")
    target = IMAGES / f"{name}.png"
    save_small(photo, target)
    return f"{target.relative_to(ROOT)}: {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/screenshots/report_pictures.py", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--audit", metavar="AUDIT", help="folder of a finished audit")
    parser.add_argument("--trial", metavar="PAGE", help="a trial's page")
    parser.add_argument("--map", metavar="AUDIT", help="folder of an audit by territory, for the picture of the map")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        if options.trial:
            page = browser.new_page(viewport={"width": 1000, "height": 880})
            page.goto(Path(options.trial).resolve().as_uri())
            print(keep(page.screenshot(), "trial_page"), flush=True)
        if options.audit:
            report = write(AuditResult.load(options.audit), Path(folder) / "report.html")
        for name, scheme in SHOWN if options.audit else ():
            width, height, scale = SIZES[name]
            context = browser.new_context(
                viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme=scheme
            )
            page = context.new_page()
            page.goto(report.as_uri())
            if (name, scheme) == ("phone", "dark"):
                page.locator("label[for=show-ja]").click()
            if (name, scheme) == ("phone", "light"):
                page.locator("#spread").evaluate("(one) => one.scrollIntoView()")
            print(keep(page.screenshot(), f"audit_report_{name}_{scheme}"), flush=True)
            context.close()
        if options.map:
            report = write(AuditResult.load(options.map), Path(folder) / "map.html")
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(report.as_uri())
            print(keep(page.locator("#map").screenshot(), "audit_report_map"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
