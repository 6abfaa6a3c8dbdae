"""Advanced inputs: folded until they are asked for where host and renderer can, open as ever where not; sent either way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emoe_host.browser import press_run
from emoe_testing.frontend import DRAWN
from playwright.sync_api import Locator, expect

GOLDEN = Path(__file__).resolve().parents[1] / "host" / "golden_schemas.json"
SCHEMAS = json.loads(GOLDEN.read_text("utf-8"))
FIRST = "gate_before_generation"
BLANK = {"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}
SHOW, HIDE = "Show advanced inputs", "Hide advanced inputs"
NODES = ("EMoE_Score", "EMoE_Gate", "EMoE_Calibrate", "EMoE_WordAttribution", "EMoE_Audit")


def body(frontend: Any, node: int) -> Locator:
    return frontend.page.locator(f"[data-node-id='{node}']")


def shown(frontend: Any, node: int) -> set[str]:
    """The inputs whose widgets a person sees on a node."""
    names = frontend.page.evaluate(
        """([id, classic]) => {
            const node = app.graph.getNodeById(id);
            const own = node.widgets.filter((w) => !w.name.startsWith("emoe_") && !w.name.startsWith("$"));
            if (classic) return own.filter((w) => node.isWidgetVisible(w)).map((w) => w.name);
            const body = document.querySelector(`[data-node-id='${id}']`);
            const words = [...body.querySelectorAll("*")].filter((e) => !e.childElementCount && e.checkVisibility());
            const texts = new Set(words.map((e) => e.textContent.trim() || e.placeholder)); // a text area may have no label
            return own.filter((w) => texts.has(w.label ?? w.name)).map((w) => w.name);
        }""",
        [node, frontend.renderer == "classic"],
    )
    return set(names)


def widgets(frontend: Any, node: int) -> list[str]:
    found = frontend.page.evaluate("(id) => app.graph.getNodeById(id).widgets.map((w) => w.name)", node)
    return [name for name in found if not name.startswith(("emoe_", "$"))]


@pytest.mark.run_in(DRAWN, "only some renderers fold inputs")
def test_a_new_node_shows_what_an_artist_needs_and_the_rest_when_asked(frontend: Any) -> None:
    page = frontend.page
    frontend.open(BLANK, "folded")
    for place, kind in enumerate(NODES):
        page.evaluate(
            """([kind, place]) => {
                const node = LiteGraph.createNode(kind);
                node.pos = [440 * place, 0];
                app.graph.add(node);
                Object.assign(app.canvas.ds, { scale: 0.7, offset: [100, 160] });
            }""",
            [kind, place],
        )
    frontend.wait_until_still()
    for kind in NODES:
        node = frontend.node(kind)
        every = set(widgets(frontend, node))
        hidden = set(SCHEMAS[kind]["folded"])
        assert len(hidden) >= 4 and hidden < every
        if not frontend.folds():
            assert shown(frontend, node) == every, kind
            assert not body(frontend, node).get_by_text(SHOW).count()
            continue
        assert shown(frontend, node) == every - hidden, kind
        tall = page.evaluate("(id) => app.graph.getNodeById(id).size[1]", node)
        assert tall < 640, kind
        body(frontend, node).get_by_text(SHOW).click()
        expect(body(frontend, node).get_by_text(HIDE)).to_be_visible()
        assert shown(frontend, node) == every, kind
        body(frontend, node).get_by_text(HIDE).click()
        expect(body(frontend, node).get_by_text(SHOW)).to_be_visible()
        assert shown(frontend, node) == every - hidden, kind
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "only some renderers fold inputs")
def test_a_folded_value_is_sent_and_kept(frontend: Any) -> None:
    page = frontend.page
    frontend.open(FIRST)
    frontend.set_widget("EMoE_Score", "noise_seed", 7)
    frontend.set_widget("EMoE_Gate", "group", "en")
    asked = page.evaluate("async () => (await app.graphToPrompt()).output")
    sent = {node["class_type"]: node["inputs"] for node in asked.values()}
    for kind in ("EMoE_Score", "EMoE_Gate", "EMoE_DisagreementMap"):
        assert set(SCHEMAS[kind]["folded"]) <= set(sent[kind])
    assert sent["EMoE_Score"]["noise_seed"] == 7 and sent["EMoE_Gate"]["group"] == "en"
    kept = page.evaluate("() => app.graph.serialize().nodes.find((n) => n.type === 'EMoE_Score').widgets_values")
    assert kept[:3] == ["layout", "enable", 7]
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "only some renderers fold inputs")
def test_nodes_saved_with_room_for_every_input_give_it_to_the_card(frontend: Any) -> None:
    """Their size was chosen for all widgets; folded or not, nothing lies over anything."""
    page = frontend.page
    frontend.open(FIRST)
    assert press_run(page) == "success"
    size = "(id) => app.graph.getNodeById(id).size[1]"
    for kind in ("EMoE_Score", "EMoE_Gate"):
        node = frontend.node(kind)
        tall = page.evaluate(size, node)
        card = frontend.shown(node)
        expect(card.locator(".emoe-gauge")).to_be_visible()
        assert frontend.cut_off(card) == []
        if not frontend.folds():
            continue
        room = card.evaluate("(root) => root.clientHeight")
        body(frontend, node).get_by_text(SHOW).click()
        frontend.wait_until_still()
        expect(card.locator(".emoe-verdict")).to_be_visible()
        assert frontend.cut_off(card) == []
        assert card.evaluate("(root) => root.clientHeight") < room
        assert page.evaluate(size, node) <= tall + 1
        body(frontend, node).get_by_text(HIDE).click()
        frontend.wait_until_still()
        assert card.evaluate("(root) => root.clientHeight") == room
    assert frontend.complaints == []
