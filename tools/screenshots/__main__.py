"""Makes `example_workflows/*.json` from their API twins, with their thumbnails; `first_graph.py` takes the README's pictures.

    python tools/screenshots [--only NAME] [--no-run] [--url URL]

Needs `playwright` beside ComfyUI's packages, and a chromium on PATH. Run it again when an API graph or a node's look
has changed. ComfyUI's own frontend writes every workflow and opens it again. A workflow is refused when a node is unknown,
two nodes overlap, or the graph sent to the server is not the API twin with the display nodes added.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import browser  # noqa: E402
from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page  # noqa: E402
from emoe_host.prepare import prepare  # noqa: E402
from emoe_host.server import Server, stopped_by_sigterm  # noqa: E402
from keeping import save_photo  # noqa: E402
from layouts import LAYOUTS, Layout, Picture  # noqa: E402
from PIL import Image  # noqa: E402

WORKFLOWS = ROOT / "example_workflows"
THUMBNAIL_WIDTH = 1000
NOTICES = "EMoE.SayWhenBlocked"


def without_titles(graph: dict[str, Any]) -> dict[str, Any]:
    return {
        node_id: {"class_type": node["class_type"], "inputs": node["inputs"]} for node_id, node in sorted(graph.items())
    }


def make_workflow(page: Any, name: str, layout: Layout) -> list[str]:
    """Writes one workflow; returns its problems."""
    api = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))
    graph_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"emoe/{name}"))
    workflow = browser.lay_out(page, name, graph_id, api, layout)
    nodes, back = browser.reopen(page, name, workflow)
    wrong = browser.problems(nodes)
    shown = {str(display.id) for display in layout.displays}
    if missing := shown - back.keys():
        wrong.append(f"display nodes {missing} are not in the graph")
    mine = without_titles({node_id: node for node_id, node in back.items() if node_id not in shown})
    if mine != without_titles(api):
        for node_id in sorted(mine.keys() | api.keys()):
            if mine.get(node_id) != without_titles(api).get(node_id):
                wrong.append(f"node {node_id} is {mine.get(node_id)} and in the API twin {api.get(node_id)}")
    text = json.dumps(workflow, ensure_ascii=False, indent=1) + "\n"
    (WORKFLOWS / f"{name}.json").write_text(text, encoding="utf-8")
    return wrong


def take(page: Any, name: str, layout: Layout, picture: Picture, run: bool) -> str:
    """Runs the workflow with the picture's prompt and takes the picture; returns a line about the result."""
    browser.reopen(page, name, json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8")))
    if picture.prompt is not None:
        browser.set_prompt(page, picture.prompt)
    state = browser.run(page) if run else "not run"
    photo = Image.open(io.BytesIO(browser.photograph(page, layout))).convert("RGB")
    target = ROOT / picture.file
    photo = photo.resize((THUMBNAIL_WIDTH, round(photo.height * THUMBNAIL_WIDTH / photo.width)), Image.LANCZOS)
    save_photo(photo, target)
    return f"{picture.file}: {state}, {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB"


@contextlib.contextmanager
def server_url(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with stopped_by_sigterm(), Server(prepare()) as server:
        yield server.url


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/screenshots", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(LAYOUTS), help="only this workflow (may be repeated)")
    parser.add_argument("--no-run", action="store_true", help="take the pictures without running the workflows")
    parser.add_argument("--url", help="a running ComfyUI with the pack, instead of one of its own")
    options = parser.parse_args()
    failed = False
    with server_url(options.url) as url:
        change_settings(url, {**SETTINGS, NOTICES: False})  # a notice would cover the graph
        with open_browser() as chromium:
            for name in options.only or LAYOUTS:
                with open_page(chromium, url) as page:
                    wrong = make_workflow(page, name, LAYOUTS[name])
                print(f"{name}: {'; '.join(wrong) or 'whole, and equal to its API twin'}", flush=True)
                failed |= bool(wrong)
                for picture in LAYOUTS[name].pictures:
                    with open_page(chromium, url) as page:
                        line = take(page, name, LAYOUTS[name], picture, not options.no_run)
                    failed |= not options.no_run and ": success" not in line
                    print(f"  {line}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
