"""The same things drawn by other hands: emoji of other sets, rendered by Chromium.

Their licences let one train on them with a notice; no picture of them is in this repository.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..packages import Package, members, run
from ..train_demo.data import Concept

STYLES = {
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),  # CC BY 4.0, Twitter
    "openmoji": Package(
        "@iconify-json/openmoji",
        "1.2.29",
        "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
    ),  # CC BY-SA 4.0, OpenMoji
    "fluent": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),  # MIT, Microsoft
}
A_ROW = 16


def draw(style: str, concepts: Sequence[Concept], side: int, cache: Path) -> dict[int, NDArray[np.uint8]]:
    """Index of a concept -> its picture [side, side, 3] in this style, for those that the set has."""
    icons = json.loads(members(STYLES[style], cache / "downloads", lambda name: name == "icons.json")["icons.json"])
    found = {index: icon for index, concept in enumerate(concepts) if (icon := _icon(icons, concept.names["en"]))}
    sheet = _sheet(list(found.values()), side, cache / f"sheet_{style}_{side}")
    return {
        index: sheet[place // A_ROW * side :, place % A_ROW * side :][:side, :side] for place, index in enumerate(found)
    }


def _icon(icons: dict[str, object], name: str) -> str | None:
    """The picture of this name as SVG."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "").replace(".", ""))
    every: dict[str, dict[str, object]] = icons["icons"]  # type: ignore[assignment]
    aliases: dict[str, dict[str, str]] = icons.get("aliases", {})  # type: ignore[assignment]
    slug = slug.strip("-")
    icon = every.get(slug) or every.get(aliases.get(slug, {}).get("parent", ""))
    if icon is None:
        return None
    width, height = (icon.get(key, icons.get(key)) for key in ("width", "height"))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


def _sheet(pictures: Sequence[str], side: int, folder: Path) -> NDArray[np.uint8]:
    """All pictures on one page, `A_ROW` a row. Each is an image of its own, since their inner names may be the same."""
    chromium = next(filter(shutil.which, ("chromium", "google-chrome")), "chromium")
    folder.mkdir(exist_ok=True)
    tiles = []
    for number, picture in enumerate(pictures):
        (folder / f"{number}.svg").write_text(picture, "utf-8")
        tiles.append(f'<img src="{number}.svg">')
    look = f"*{{margin:0}} body{{width:{A_ROW * side}px;font-size:0;background:#fff}} img{{width:{side}px;height:{side}px}}"
    page, shot = folder / "page.html", folder / "page.png"
    page.write_text(f"<!doctype html><style>{look}</style>{''.join(tiles)}", "utf-8")
    height = -(-len(pictures) // A_ROW) * side
    run(
        [chromium, "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={shot.resolve()}",
         f"--window-size={A_ROW * side},{height}", page.resolve().as_uri()],
        folder,
    )  # fmt: skip
    with Image.open(BytesIO(shot.read_bytes())) as drawn:
        return np.asarray(drawn.convert("RGB"))
