"""Takes the pictures of every widget for the documentation, in ComfyUI's own frontend.

    python tools/screenshots/widgets.py --url URL

Each widget is taken at 100 % and 60 %, in the dark and in the light theme, cut out of the canvas and put together in one
picture: once in the classic renderer and once in Nodes 2.0. URL is a running ComfyUI with the pack in it.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page, press_run  # noqa: E402
from keeping import save_small  # noqa: E402
from PIL import Image  # noqa: E402

IMAGES = ROOT / "docs" / "images"
ZOOMS, THEMES = (1.0, 0.6), ("dark", "light")
RENDERERS = {"": False, "_nodes2": True}  # the ending of the pictures' names, and the host's setting
PROMPTS = ("ant", "candle", "xchtgg", "traktori", "sunflower")
MORE = (
    "owl",
    "rainbow",
    "Tokyo tower",
    "trekta",
    "timer clock",
    "cactus",
    "bread",
    "山から日の出",
    "snail",
    "sunflower",
)
CANVAS = ((31, 31, 31), (211, 211, 211))
AIR = 14  # margin around a node, in pixels of the page
BADGE = 20  # margin above it, at 100 %
TITLE = 30
_PLACE = """([id, scale]) => {
    const { canvas } = app;
    const node = canvas.graph.getNodeById(id);
    canvas.deselectAllNodes();
    canvas.ds.scale = scale;
    canvas.ds.offset = [500 / scale - node.pos[0], 200 / scale - node.pos[1]];
    canvas.setDirty(true, true);
    const view = canvas.canvas.getBoundingClientRect();
    return [view.left + 500, view.top + 200, node.size[0] * scale, node.size[1] * scale];
}"""


def workflow(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "example_workflows" / f"{name}.json").read_text("utf-8")))


GATE_WIDGETS = ("policy", "alpha", "threshold", "mode")  # in the order in which a workflow stores their values


def load(page: Any, name: str, prompts: tuple[str, ...] = (), **widgets: Any) -> None:
    """Opens a template with these values on its Gate, and runs it with each prompt."""
    made = workflow(name)
    for node in made["nodes"]:
        for key, value in widgets.items():
            if node["type"] == "EMoE_Gate":
                node["widgets_values"][GATE_WIDGETS.index(key)] = value
    page.evaluate("async ([w, n]) => { await app.loadGraphData(w, true, true, n); }", [made, f"{name}_shown"])
    page.wait_for_timeout(800)
    for prompt in prompts or (None,):
        if prompt is not None:
            page.evaluate(
                "(t) => { app.graph.nodes.find((n) => n.type === 'PrimitiveStringMultiline').widgets[0].value = t; }",
                prompt,
            )
        if (state := press_run(page)) != "success":
            raise SystemExit(f"error: {name} with {prompt!r}: {state}")
        page.wait_for_timeout(1200)


def node_id(page: Any, kind: str) -> int:
    return int(page.evaluate("(t) => app.canvas.graph.nodes.find((n) => n.type === t).id", kind))


def shot(page: Any, node: int, scale: float, prepare: str | None) -> Image.Image:
    """One node, cut out."""
    x, y, width, height = page.evaluate(_PLACE, [node, scale])
    page.mouse.move(900, 1075)
    page.wait_for_timeout(500)
    if prepare is not None:
        page.locator(prepare).first.hover()
        page.wait_for_timeout(300)
    top = TITLE * scale
    top += BADGE * scale
    clip = {"x": x - AIR, "y": y - top - AIR, "width": width + 2 * AIR, "height": height + top + 2 * AIR}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def put_together(pictures: list[list[Image.Image]]) -> Image.Image:
    """Rows of pictures, each on the colour of its theme's canvas."""
    width = max(sum(p.width for p in row) for row in pictures)
    rows = [max(p.height for p in row) for row in pictures]
    sheet = Image.new("RGB", (width, sum(rows)))
    y = 0
    for row, height, colour in zip(pictures, rows, CANVAS, strict=True):
        sheet.paste(colour, (0, y, width, y + height))
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y))
            x += picture.width
        y += height
    return sheet


def sheet(page: Any, file: str, nodes: list[tuple[int, str | None]], only: str | None = None) -> None:
    """Every node (or the widget `only` on it) at both zooms, one row per theme."""
    rows = []
    for theme in THEMES:
        page.evaluate("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", theme)
        page.wait_for_timeout(700)
        row = []
        for scale in ZOOMS:
            for node, prepare in nodes:
                picture = shot(page, node, scale, prepare)
                row.append(picture if only is None else widget_shot(page, only))
        rows.append(row)
    page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    save(put_together(rows), file)


def widget_shot(page: Any, selector: str) -> Image.Image:
    """One widget, cut out of its node."""
    box = page.locator(selector).bounding_box()
    sides = {
        "x": box["x"] - AIR,
        "y": box["y"] - AIR,
        "width": box["width"] + 2 * AIR,
        "height": box["height"] + 2 * AIR,
    }
    return Image.open(io.BytesIO(page.screenshot(clip=sides))).convert("RGB")


def save(picture: Image.Image, file: str) -> None:
    target = IMAGES / file
    target.parent.mkdir(parents=True, exist_ok=True)
    save_small(picture, target)
    print(f"{file}: {picture.width}x{picture.height}, {target.stat().st_size / 1000:.0f} kB", flush=True)


def maps(page: Any) -> None:
    """Disagreement Map on a known and on an unknown prompt."""
    rows: list[list[Image.Image]] = [[] for _ in THEMES]
    for prompt in ("sunflower", "xchtgg"):
        load(page, "gate_before_generation", (prompt,))
        for row, theme in zip(rows, THEMES, strict=True):
            page.evaluate("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", theme)
            page.wait_for_timeout(700)
            row += [shot(page, node_id(page, MAP), scale, None) for scale in ZOOMS]
    page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    save(put_together(rows), "disagreement_map.png")


MAP = "EMoE_DisagreementMap"
SCORE, GATE, ROUTE, WORDS = "EMoE_Score", "EMoE_Gate", "EMoE_Route", "EMoE_WordAttribution"


def take_all(page: Any, end: str) -> None:
    load(page, "gate_before_generation", PROMPTS)
    sheet(page, f"widget_score_and_gate{end}.png", [(node_id(page, SCORE), None), (node_id(page, GATE), None)])
    mark_details(page, node_id(page, GATE))
    sheet(page, f"widget_experts{end}.png", [(node_id(page, GATE), "[data-shown] .emoe-more")], only="[data-shown]")
    load(page, "gate_before_generation", ("sunflower",), policy="raw_threshold", threshold=0.4)
    sheet(page, f"widget_threshold{end}.png", [(node_id(page, GATE), None)])
    load(page, "which_word_is_unknown")
    sheet(page, f"widget_words{end}.png", [(node_id(page, WORDS), None)])
    load(page, "reroute_blocked_prompt", ("sunflower", "xchtgg"))
    sheet(page, f"widget_route{end}.png", [(node_id(page, ROUTE), None)])


def history(page: Any) -> None:
    """The last scores, after a dozen prompts."""
    load(page, "gate_before_generation", PROMPTS + MORE)
    mark_details(page, node_id(page, GATE))
    sheet(page, "widget_history.png", [(node_id(page, GATE), None)], only="[data-shown]")


def mark_details(page: Any, node: int) -> None:
    """Marks the widget's element so that a locator finds it."""
    page.evaluate(
        """(id) => {
            const { widgets } = app.canvas.graph.getNodeById(id);
            widgets.find((w) => w.name === "emoe_card").element.dataset.shown = "";
        }""",
        node,
    )


def toast(page: Any) -> None:
    """The blocked branch and the notice, as a user sees them right after the run.

    Taken in a newer frontend: older ones lay a banner of their own over the notice's title.
    """
    page.evaluate(
        "async ([w, n]) => { await app.loadGraphData(w, true, true, n); }",
        [workflow("reroute_blocked_prompt"), "toast"],
    )
    page.wait_for_timeout(800)
    page.evaluate(
        "() => { app.graph.nodes.find((n) => n.type === 'PrimitiveStringMultiline').widgets[0].value = 'xchtgg'; }"
    )
    page.evaluate(_LISTEN_GATE)
    page.get_by_test_id("queue-button").click()
    page.locator(".emoe-toast").last.wait_for()
    page.evaluate("() => window.emoeEnd")
    page.wait_for_timeout(800)
    save(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), "blocked_and_rerouted.png")


def blueprint(page: Any) -> None:
    """The subgraph blueprint as one node."""
    made = json.loads((ROOT / "subgraphs" / "Generate only if certain.json").read_text("utf-8"))
    page.evaluate("async (w) => { await app.loadGraphData(w, true, true, 'blueprint'); }", made)
    page.wait_for_timeout(800)
    sheet(page, "blueprint.png", [(int(page.evaluate("() => app.graph.nodes.find((n) => n.subgraph).id")), None)])


_LISTEN_GATE = """() => { window.emoeEnd = new Promise((done) => {
    window.app.api.addEventListener("execution_success", () => done("success"), { once: true }); }); }"""


#: Taken only in the classic renderer.
CLASSIC = {"maps": maps, "history": history, "toast": toast, "blueprint": blueprint}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="a running ComfyUI with the pack")
    parser.add_argument("--only", choices=list(CLASSIC), action="append", help="only this (may be repeated)")
    options = parser.parse_args()
    url = options.url
    with open_browser() as chromium:
        for end, nodes2 in RENDERERS.items() if not options.only else ():
            change_settings(url, {**SETTINGS, "Comfy.VueNodes.Enabled": nodes2})
            with open_page(chromium, url) as page:
                take_all(page, end)
        change_settings(url, {**SETTINGS, "EMoE.SayWhenBlocked": True})
        with open_page(chromium, url) as page:
            for name in options.only or CLASSIC:
                CLASSIC[name](page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
