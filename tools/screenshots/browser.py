"""Graphs in ComfyUI's own frontend: laid out, written, read back, run and photographed."""

from __future__ import annotations

import json
from typing import Any

from emoe_host.browser import WINDOW, press_run
from layouts import Group, Layout
from playwright.sync_api import Page

TITLE, MARGIN = 30, 24
#: Nodes whose text or picture takes all available room.
SHRINKING = ("MarkdownNote", "PreviewImage", "EMoE_DisagreementMap")
COLOURS = {"color": "#432", "bgcolor": "#3f352b"}  # the note's

_LAY_OUT = """async ([api, layout]) => {
    await app.loadApiJson(api, layout.name);
    const graph = app.graph;
    graph.id = layout.id;
    const place = (node, [x, y, w, h]) => { node.pos = [x, y]; node.size = [w, h]; };
    for (const [id, box] of Object.entries(layout.boxes)) place(graph.getNodeById(Number(id)), box);
    for (const id of layout.unfolded) graph.getNodeById(id).showAdvanced = true;
    for (const node of graph._nodes)
        for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed";
    for (const display of layout.displays) {
        const node = LiteGraph.createNode(display.class_type);
        node.id = display.id;
        node.title = display.title;
        graph.add(node);
        for (const [name, [from, output]] of Object.entries(display.inputs))
            graph.getNodeById(from).connect(output, node, node.findInputSlot(name));
        place(node, display.box);
    }
    const note = LiteGraph.createNode("MarkdownNote");
    note.id = layout.note_id;
    note.title = "Note";
    note.widgets[0].value = layout.note;
    Object.assign(note, layout.colours);
    graph.add(note);
    place(note, layout.note_box);
    layout.groups.forEach((wanted, index) => {
        const group = new LiteGraph.LGraphGroup(wanted.title, index + 1);
        group.color = wanted.colour;
        group.font_size = 22;
        group.pos = wanted.box.slice(0, 2);
        group.size = wanted.box.slice(2);
        graph.add(group);
    });
    return JSON.stringify(graph.serialize());
}"""

_NODES = """() => app.graph._nodes.map(node => ({
    id: node.id, type: node.type, known: !!LiteGraph.registered_node_types[node.type], errors: !!node.has_errors,
    box: [...node.pos, ...node.size], least: [...node.computeSize()],
}))"""

_FIT = """([left, top, right, bottom, inset]) => {
    const view = app.canvas.canvas.getBoundingClientRect();
    const room = [view.width - inset.left - inset.right, view.height - inset.top - inset.bottom];
    const scale = Math.min(room[0] / (right - left), room[1] / (bottom - top));
    const ds = app.canvas.ds;
    ds.scale = scale;
    ds.offset[0] = (inset.left + room[0] / 2) / scale - (left + right) / 2;
    ds.offset[1] = (inset.top + room[1] / 2) / scale - (top + bottom) / 2;
    app.canvas.deselectAllNodes();
    app.canvas.setDirty(true, true);
    return [view.left + (left + ds.offset[0]) * scale, view.top + (top + ds.offset[1]) * scale,
            (right - left) * scale, (bottom - top) * scale];
}"""


def frame(group: Group, boxes: dict[int, tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    """The box of a group around its nodes, with room for their title bars and its own."""
    inside = [boxes[node] for node in group.nodes]
    left, top = min(b[0] for b in inside) - MARGIN, min(b[1] for b in inside) - TITLE - 2 * MARGIN + 4
    right, bottom = max(b[0] + b[2] for b in inside) + MARGIN, max(b[1] + b[3] for b in inside) + MARGIN
    return left, top, right - left, bottom - top


def frames(layout: Layout) -> list[tuple[int, int, int, int]]:
    boxes = layout.boxes | {display.id: display.box for display in layout.displays}
    return [frame(group, boxes) for group in layout.groups]


def extent(layout: Layout) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of everything."""
    x, y, w, h = layout.note_box
    boxes = [*frames(layout), (x, y - TITLE, w, h + TITLE)]
    return (
        min(b[0] for b in boxes) - MARGIN,
        min(b[1] for b in boxes) - MARGIN,
        max(b[0] + b[2] for b in boxes) + MARGIN,
        max(b[1] + b[3] for b in boxes) + MARGIN,
    )


def lay_out(page: Page, name: str, graph_id: str, api: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """The workflow in UI format, written by the frontend itself."""
    wanted = {
        "name": name,
        "id": graph_id,
        "boxes": layout.boxes,
        "displays": [vars(display) for display in layout.displays],
        "groups": [
            {"title": g.title, "colour": g.colour, "box": box}
            for g, box in zip(layout.groups, frames(layout), strict=True)
        ],
        "unfolded": list(layout.unfolded),
        "note": layout.note,
        "note_id": layout.note_id,
        "note_box": layout.note_box,
        "colours": COLOURS,
    }
    workflow: dict[str, Any] = json.loads(page.evaluate(_LAY_OUT, [api, wanted]))
    left, top, right, bottom = extent(layout)
    scale = round(min(1650 / (right - left), 850 / (bottom - top)), 3)  # so that an ordinary window shows all of it
    workflow["extra"] = {
        "ds": {"scale": scale, "offset": [60 / scale - left, 90 / scale - top]},
        "linearData": {"inputs": [list(one) for one in layout.app.inputs], "outputs": list(layout.app.outputs)},
    }
    return workflow


def reopen(page: Page, name: str, workflow: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Opens a workflow like a user; returns its nodes on the canvas, and the API graph made from it."""
    page.evaluate(
        "async ([workflow, name]) => { await app.loadGraphData(workflow, true, true, name); }", [workflow, name]
    )
    page.wait_for_timeout(500)
    nodes: list[dict[str, Any]] = page.evaluate(_NODES)
    back = json.loads(page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    return nodes, back


def problems(nodes: list[dict[str, Any]]) -> list[str]:
    """Unknown nodes, overlaps, and nodes too small for their content."""
    found = [f"node {n['id']}: ComfyUI does not know {n['type']}" for n in nodes if not n["known"]]
    for index, node in enumerate(nodes):
        x, y, w, h = node["box"]
        small = w < node["least"][0] or h < node["least"][1] - 1
        if small and node["type"] not in SHRINKING:
            found.append(f"node {node['id']} ({node['type']}): {w}x{h} is smaller than {node['least']}")
        for other in nodes[:index]:
            a, b, c, d = other["box"]
            if x < a + c and a < x + w and y - TITLE < b + d and b - TITLE < y + h:
                found.append(f"nodes {node['id']} and {other['id']} overlap")
    return found


def set_prompt(page: Page, text: str) -> None:
    page.evaluate(
        """(text) => { for (const node of app.graph._nodes) if (node.type === "PrimitiveStringMultiline")
        node.widgets[0].value = text; }""",
        text,
    )


def run(page: Page) -> str:
    """Presses Run; 'success', or the error."""
    answer = press_run(page)
    page.wait_for_timeout(7000)  # the images are fetched after the run, and the notice of its end disappears
    return answer


def photograph(page: Page, layout: Layout) -> bytes:
    """A PNG of the workflow, without the window around it."""
    inset = {"left": 70, "right": 70, "top": 100, "bottom": 100}
    box = page.evaluate(_FIT, [*extent(layout), inset])
    page.mouse.move(5, WINDOW["height"] - 5)
    page.wait_for_timeout(700)
    return page.screenshot(clip=dict(zip(("x", "y", "width", "height"), box, strict=True)))  # type: ignore[arg-type]
