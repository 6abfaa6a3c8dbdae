"""The pack's widgets: what they show, what can be done with them, and that everybody can read and use them."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from emoe_host.browser import end_of_run, press_run, reload, start_run
from emoe_testing.frontend import DRAWN, EACH_ONCE, FRONTENDS, template
from playwright.sync_api import Page, expect

OLD = Path(__file__).resolve().parents[1] / "data" / "workflows"
FIRST = "gate_before_generation"
UNKNOWN = "xchtgg"


def threshold(frontend: Any, gate: int) -> float:
    return float(
        frontend.page.evaluate(
            "(id) => app.canvas.graph.getNodeById(id).widgets.find((w) => w.name === 'threshold').value", gate
        )
    )


def come_near(frontend: Any, node: int) -> None:
    """The node in the middle of the window, at 100 %."""
    frontend.page.evaluate(
        """(id) => {
            const { canvas } = app;
            canvas.ds.scale = 1;
            canvas.centerOnNode(canvas.graph.getNodeById(id));
            canvas.setDirty(true, true);
        }""",
        node,
    )
    frontend.wait_until_still()


@pytest.mark.run_in(EACH_ONCE, "the page hands pointer and keys to a widget, and draws it anew after an undo")
def test_a_dragged_threshold_changes_the_next_verdict(frontend: Any) -> None:
    page = frontend.page
    frontend.open(FIRST)
    frontend.set_widget("EMoE_Gate", "policy", "raw_threshold")
    frontend.set_widget("EMoE_Gate", "threshold", 0.4)
    frontend.record()
    assert press_run(page) == "success"
    gate = frontend.node("EMoE_Gate")
    card = frontend.card(gate)
    expect(card).to_have_attribute("data-verdict", "pass")
    slider = card.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuenow", "0.4")
    come_near(frontend, gate)
    line, track = slider.bounding_box(), card.locator(".emoe-gauge").bounding_box()
    assert line is not None and track is not None
    page.mouse.move(line["x"] + line["width"] / 2, line["y"] + line["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.3, line["y"] + 20, steps=4)
    page.mouse.move(track["x"] + track["width"] * 0.04, line["y"] + 20, steps=4)
    page.mouse.up()
    dragged = threshold(frontend, gate)
    frontend.undo()
    assert threshold(frontend, gate) == 0.4
    frontend.redo()
    assert threshold(frontend, gate) == dragged
    card = frontend.shown(gate)
    slider = card.get_by_role("slider")
    assert 0 < dragged < float(str(card.locator(".emoe-score").text_content()))
    expect(slider).to_have_attribute("aria-valuenow", re.compile(re.escape(f"{dragged:g}")[:4]))
    assert press_run(page) == "success"
    expect(frontend.card(gate)).to_have_attribute("data-verdict", "block")

    slider.focus()
    page.keyboard.press("End")  # as far as it goes: beyond every score
    highest = threshold(frontend, gate)
    assert highest > 0.4
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageDown")
    by_keys = threshold(frontend, gate)
    assert 0.8 * highest < by_keys < 0.95 * highest
    frontend.undo()
    assert threshold(frontend, gate) > by_keys
    frontend.redo()
    assert threshold(frontend, gate) == by_keys
    assert press_run(page) == "success"
    expect(frontend.card(gate)).to_have_attribute("data-verdict", "pass")
    told = frontend.card(gate).locator(".emoe-history li").all()
    assert len(told) >= 3 and "sunflower" in str(told[-1].get_attribute("aria-label"))
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "each renderer puts the widgets of new nodes into the page in a way of its own")
def test_after_an_undo_the_widgets_live_on(frontend: Any) -> None:
    """An undo makes new nodes with the same ids; Nodes 2.0 goes on with what it drew for the old ones."""
    page = frontend.page
    frontend.open(FIRST)
    frontend.set_widget("EMoE_Gate", "policy", "raw_threshold")
    frontend.set_widget("EMoE_Gate", "threshold", 0.4)
    frontend.record()
    assert press_run(page) == "success"
    gate, route = frontend.node("EMoE_Gate"), frontend.node("EMoE_Route")
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "pass")
    frontend.set_widget("EMoE_Gate", "threshold", 0.5)
    frontend.record()
    frontend.undo()
    assert threshold(frontend, gate) == 0.4
    frontend.write_prompt(UNKNOWN)
    assert press_run(page) == "success"
    expect(frontend.shown(gate).locator(".emoe-line")).to_contain_text(UNKNOWN)
    expect(frontend.shown(route, "emoe_mark")).to_be_visible()
    expect(frontend.shown(route, "emoe_mark")).to_contain_text("blocked ends here")
    slider = frontend.shown(gate).get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    assert threshold(frontend, gate) < 0.4  # of the node that is there
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "wheel and middle button reach the canvas by another way in each renderer")
def test_over_a_card_the_canvas_still_zooms_and_moves(frontend: Any) -> None:
    page = frontend.page
    view = "() => JSON.stringify([app.canvas.ds.scale, ...app.canvas.ds.offset])"
    changed = f"(before) => ({view})() !== before"
    frontend.open("reroute_blocked_prompt")
    assert press_run(page) == "success"
    for kind, widget in (("EMoE_Gate", "emoe_card"), ("EMoE_Route", "emoe_mark")):
        node = frontend.node(kind)
        come_near(frontend, node)
        box = frontend.shown(node, widget).bounding_box()
        assert box is not None
        before = page.evaluate(view)
        page.mouse.move(box["x"] + 20, box["y"] + 10)
        page.mouse.wheel(0, -120)
        page.wait_for_function(changed, arg=before)
        come_near(frontend, node)
        before = page.evaluate(view)
        page.mouse.move(box["x"] + 20, box["y"] + 10)
        page.mouse.down(button="middle")
        page.mouse.move(box["x"] + 45, box["y"] + 12, steps=3)
        page.mouse.move(box["x"] + 300, box["y"] - 200, steps=3)
        page.mouse.up(button="middle")
        page.wait_for_function(changed, arg=before)
        still = page.evaluate(view)
        page.mouse.move(box["x"] + 200, box["y"] - 100, steps=3)
        assert page.evaluate(view) == still  # the button is up
    assert frontend.complaints == []


@pytest.mark.run_in(
    EACH_ONCE, "the copy is loaded twice, as each frontend does, and its widgets are those of new nodes"
)
def test_a_second_copy_of_a_workflow_has_results_of_its_own(frontend: Any) -> None:
    page = frontend.page
    saved = template(FIRST)
    saved["id"] = str(uuid.uuid4())  # the same in every copy of a file; no other test has it
    frontend.open(saved, "copied")
    frontend.write_prompt(UNKNOWN)
    assert press_run(page) == "success"
    gate, route = frontend.node("EMoE_Gate"), frontend.node("EMoE_Route")
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "block")
    first, tab = frontend.wait_for_own_id(), page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path")
    saved["extra"].pop("ds", None)
    page.evaluate("() => { app.canvas.ds.offset = [5000, 5000]; }")
    frontend.open(saved, "copied again")
    page.wait_for_function("() => app.canvas.ds.offset[0] < 3000")  # the host has put the whole graph into the window
    second = frontend.wait_for_own_id()
    assert second != first
    expect(frontend.shown(gate)).to_have_attribute("data-empty", "")
    expect(frontend.shown(route, "emoe_mark")).to_be_hidden()
    assert skipped(page) == []
    assert press_run(page) == "success"
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "pass")

    def switch(command: str, path: str) -> None:
        page.evaluate("(name) => app.extensionManager.command.execute(name)", f"Workspace.{command}OpenedWorkflow")
        compare = "===" if command == "Previous" else "!=="
        page.wait_for_function(f"(p) => app.extensionManager.workflow.activeWorkflow.path {compare} p", arg=path)

    switch("Previous", tab)
    assert frontend.wait_for_own_id() == first
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "block")
    switch("Next", tab)
    frontend.set_widget("EMoE_Gate", "alpha", 0.2)
    frontend.record()
    frontend.undo()
    assert frontend.wait_for_own_id() == second
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "pass")
    reload(page)
    assert frontend.wait_for_own_id() == second
    expect(frontend.shown(gate)).to_have_attribute("data-verdict", "pass")
    assert frontend.complaints == []


def test_a_line_that_a_policy_holds_cannot_be_dragged(frontend: Any) -> None:
    frontend.open(FIRST)
    assert press_run(frontend.page) == "success"
    card = frontend.card(frontend.node("EMoE_Gate"))
    expect(card.locator(".emoe-limit")).to_be_visible()
    expect(card.get_by_role("slider")).to_have_count(0)


def skipped(page: Page) -> list[int]:
    """The nodes that are outlined as left out."""
    ids: list[int] = page.evaluate(
        "() => app.graph.nodes.filter((n) => n.strokeStyles.emoe_skipped).map((n) => Number(n.id))"
    )
    return sorted(ids)


@pytest.mark.run_in(EACH_ONCE, "outlines are the renderer's, notices the frontend's")
def test_a_blocked_branch_is_marked_and_told_and_the_notice_leads_to_the_gate(frontend: Any) -> None:
    page = frontend.page
    frontend.open("reroute_blocked_prompt")
    frontend.write_prompt(UNKNOWN)
    gate = frontend.node("EMoE_Gate")
    page.evaluate("() => { app.canvas.ds.offset = [5000, 5000]; }")
    start_run(page)  # the notice comes while the rest runs, and goes away by itself
    frontend.follow(frontend.notice("blocked: p = 0.009, alpha 0.1"))
    assert page.evaluate("() => Object.keys(app.canvas.selected_nodes).map(Number)") == [gate]
    frontend.wait_until_still()
    assert end_of_run(page) == "success"
    box = frontend.card(gate).bounding_box()
    window = page.viewport_size
    assert box is not None and 0 < box["x"] < window["width"] and 0 < box["y"] < window["height"]
    route = frontend.node("EMoE_Route")
    expect(frontend.card(route, "emoe_mark")).to_contain_text("blocked took on_block (p = 0.009, alpha 0.1)")
    assert skipped(page) == [
        7,
        8,
        9,
    ]  # the negative prompt, the sampler and the decoder that only a passed prompt needs
    if frontend.renderer == "nodes2":
        assert "dashed" in page.evaluate(
            "() => getComputedStyle(document.querySelector('[data-node-id=\"8\"]')).outline"
        )
    frontend.write_prompt("sunflower")
    assert press_run(page) == "success"
    expect(frontend.card(route, "emoe_mark")).to_contain_text("passed took on_pass")
    assert skipped(page) == [12, 13, 14, 15, 16]
    assert frontend.complaints == []


@pytest.mark.run_in(FRONTENDS, "notices and tabs are the frontend's")
def test_a_notice_leads_to_its_own_gate_from_another_tab_too(frontend: Any) -> None:
    """Two Gates that say the same, of which the first is asked for."""
    page = frontend.page
    frontend.open(FIRST)
    gate = frontend.node("EMoE_Gate")
    page.evaluate(
        """(id) => {
            const { graph } = app, gate = graph.getNodeById(id), second = LiteGraph.createNode("EMoE_Gate");
            second.pos = [gate.pos[0], gate.pos[1] + 900];
            graph.add(second);
            gate.getInputNode(0).connect(gate.getInputLink(0).origin_slot, second, gate.inputs[0].name);
            for (const widget of gate.widgets)
                if (!widget.name.startsWith("emoe_")) second.widgets.find((w) => w.name === widget.name).value = widget.value;
        }""",
        gate,
    )
    frontend.write_prompt(f"{UNKNOWN} {'and more ' * 20}")
    start_run(page)
    other = next(node for node in frontend.ids("EMoE_Gate") if node != gate)
    notices = [frontend.notice(f"#{node} · “{UNKNOWN} and more") for node in (gate, other)]
    expect(notices[0]).to_contain_text("and mor…”")
    tab = page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path")
    assert end_of_run(page) == "success"
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function("() => app.graph.nodes.length === 0")
    expect(notices[1]).to_be_visible()
    for node, notice in zip((gate, other), notices, strict=True):
        frontend.follow(notice)
        page.wait_for_function(
            "(id) => String(Object.keys(app.canvas.selected_nodes)) === id && app.canvas.graph.getNodeById(id)",
            arg=str(node),
        )
    assert page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path") == tab
    assert frontend.complaints == []


def test_a_route_that_the_last_run_did_not_decide_has_no_mark(frontend: Any) -> None:
    page = frontend.page
    frontend.open(FIRST)
    frontend.write_prompt(UNKNOWN)
    assert press_run(page) == "success"
    route = frontend.node("EMoE_Route")
    mark = frontend.shown(route, "emoe_mark")
    expect(mark).to_contain_text("blocked ends here")
    mode = "([id, mode]) => { app.graph.getNodeById(id).mode = mode; }"
    page.evaluate(mode, [route, 4])  # bypassed
    assert press_run(page) == "success"
    expect(mark).to_be_hidden()
    expect(mark).to_have_text("")
    page.evaluate(mode, [route, 0])
    assert press_run(page) == "success"
    expect(mark).to_contain_text("blocked ends here")
    assert press_run(page) == "success"  # all of it from the cache
    expect(mark).to_contain_text("blocked ends here")
    assert frontend.complaints == []


@pytest.mark.run_in(FRONTENDS, "notices are the frontend's")
def test_a_block_right_after_another_is_told_too(frontend: Any) -> None:
    """Notices keep a distance, so that a long queue does not fill the window; the last one is never lost."""
    frontend.open(FIRST)
    frontend.write_prompt(UNKNOWN)
    frontend.set_widget("EMoE_Gate", "alpha", 0.2)
    assert press_run(frontend.page) == "success"
    frontend.set_widget("EMoE_Gate", "alpha", 0.3)
    start_run(frontend.page)
    expect(frontend.notice("blocked: p = 0.009, alpha 0.3")).to_be_visible()
    assert end_of_run(frontend.page) == "success"
    assert frontend.complaints == []


@pytest.mark.run_in(EACH_ONCE, "frontends keep subgraphs, and renderers draw them, each in its own way")
def test_the_widgets_work_inside_a_subgraph(frontend: Any) -> None:
    page = frontend.page
    frontend.open(FIRST)
    frontend.write_prompt("candle")
    page.evaluate(
        """() => {
            const inside = app.graph.nodes.filter((n) => ["EMoE_Score", "EMoE_Gate"].includes(n.type));
            app.graph.convertToSubgraph(new Set(inside));
        }"""
    )
    assert press_run(page) == "success"
    page.evaluate(
        "() => { const node = app.graph.nodes.find((n) => n.subgraph); app.canvas.openSubgraph(node.subgraph, node); }"
    )
    page.wait_for_function("() => app.canvas.graph.nodes.some((n) => n.type === 'EMoE_Gate')")
    gate = page.evaluate("() => app.canvas.graph.nodes.find((n) => n.type === 'EMoE_Gate').id")
    card = frontend.card(gate)
    expect(card).to_be_visible()
    expect(card).to_have_attribute("data-verdict", "pass")
    expect(card.locator(".emoe-line")).to_contain_text("candle")
    assert frontend.drawn_on(gate) == 0  # the card as a picture would be a second one

    # a second node that uses the same subgraph and was never run: whose it is depends on which of them it was opened by
    page.evaluate(
        """() => {
            const first = app.rootGraph?.nodes ?? app.graph.nodes, used = first.find((n) => n.subgraph);
            const second = LiteGraph.createNode(used.type);
            second.mode = 2;
            app.canvas.setGraph(used.graph);
            used.graph.add(second);
            app.canvas.openSubgraph(second.subgraph, second);
        }"""
    )
    expect(frontend.shown(gate)).to_have_attribute("data-empty", "")
    page.evaluate(
        """() => {
            const { rootGraph } = app.canvas.graph, used = rootGraph.nodes.find((n) => n.subgraph);
            app.canvas.setGraph(rootGraph);
            app.canvas.openSubgraph(used.subgraph, used);
        }"""
    )
    expect(frontend.shown(gate).locator(".emoe-line")).to_contain_text("candle")
    assert frontend.complaints == []


PALETTES = ("dark", "light")


@contextlib.contextmanager
def in_palette(frontend: Any, palette: str) -> Iterator[None]:
    """The frontend in one of its palettes; afterwards it is dark again."""
    use = "(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)"
    frontend.page.evaluate(use, palette)
    try:
        frontend.wait_until_still()
        yield
    finally:
        frontend.page.evaluate(use, "dark")


def hard_to_read(page: Page, *parts: str, passes: int) -> list[str]:
    """The rules that these parts break in earnest, of those that must have looked at them."""
    found = Axe().run(page, context={"include": [[part] for part in parts]}).response
    assert len(found["passes"]) > passes
    return [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")]


@pytest.mark.run_in(EACH_ONCE, "the colours are the frontend's, the rules for text around a widget the renderer's")
def test_everybody_can_read_the_coloured_words(frontend: Any) -> None:
    page = frontend.page
    frontend.open("which_word_is_unknown")
    assert press_run(page) == "success"
    node = frontend.node("EMoE_WordAttribution")
    words = frontend.card(node, "emoe_words")
    come_near(frontend, node)
    for palette in PALETTES:
        with in_palette(frontend, palette):
            expect(words.locator("mark")).to_have_text(["sunflower", "xchtgg"])
            expect(words).to_have_attribute("aria-label", re.compile("xchtgg: 0.*sunflower: -0"))
            assert hard_to_read(page, ".emoe-words", passes=3) == [], palette
    assert frontend.complaints == []


@pytest.mark.run_in(EACH_ONCE, "the colours are the frontend's, the rules for text around a widget the renderer's")
def test_everybody_can_read_the_widgets(frontend: Any) -> None:
    page = frontend.page
    frontend.open(FIRST)
    frontend.set_widget("EMoE_Gate", "policy", "raw_threshold")
    assert press_run(page) == "success"
    gate = frontend.node("EMoE_Gate")
    card = frontend.card(gate)
    come_near(frontend, gate)
    button, table = card.get_by_role("button"), card.locator(".emoe-details table")
    for palette in PALETTES:
        with in_palette(frontend, palette):
            button.focus()
            expect(table).to_be_visible()
            expect(table.locator("td[style]")).to_have_count(12)  # 4 experts: every pair, both ways
            expect(card.locator("dd")).to_have_count(5)
            assert frontend.cut_off(card) == []
            assert hard_to_read(page, ".emoe-card", ".emoe-mark", passes=5) == [], palette
            page.keyboard.press("Escape")
            expect(table).to_be_hidden()
            assert hard_to_read(page, ".emoe-card", ".emoe-mark", passes=5) == [], f"{palette}, closed"
            button.blur()
    assert frontend.complaints == []


@pytest.mark.run_in(FRONTENDS, "what becomes of saved values is the frontend's")
@pytest.mark.parametrize("path", sorted(OLD.glob("*.json")), ids=lambda p: p.stem)
def test_a_workflow_saved_by_an_older_version_opens_and_runs_unchanged(frontend: Any, path: Path) -> None:
    """What was saved is asked of the server, input by input; what was added since has its default."""
    old = json.loads(path.read_text("utf-8"))
    page = frontend.page
    frontend.open(old, f"old_{path.stem}")
    assert not page.locator(".comfy-missing-nodes").count()
    asked = page.evaluate("async () => (await app.graphToPrompt()).output")
    sources = {link[0]: [str(link[1]), link[2]] for link in old["links"]}
    for node in (n for n in old["nodes"] if n["type"] != "MarkdownNote"):
        inputs = asked[str(node["id"])]["inputs"]
        linked = {i["name"]: sources[i["link"]] for i in node.get("inputs", []) if i.get("link") is not None}
        assert {name: inputs[name] for name in linked} == linked
        if node["type"] == "EMoE_Gate":
            names = ("policy", "alpha", "threshold", "mode", "filename_prefix")
            assert [inputs[name] for name in names] == node["widgets_values"][: len(names)]
        if node["type"] == "EMoE_Score":
            assert inputs["preset"] == node["widgets_values"][0]
    assert press_run(page) == "success"
    expect(frontend.card(frontend.node("EMoE_Gate"))).to_have_attribute("data-verdict", "pass")
    assert frontend.complaints == []


def test_a_score_from_the_cache_is_shown_too(frontend: Any) -> None:
    """ComfyUI sends nothing for a cached Score; another workflow with the same nodes must not say that there is none."""
    page = frontend.page
    prompt = f"snail {frontend.renderer}"
    for workflow in (FIRST, "reroute_blocked_prompt"):
        frontend.open(workflow)
        frontend.write_prompt(prompt)
        assert press_run(page) == "success"
        score, gate = frontend.card(frontend.node("EMoE_Score")), frontend.node("EMoE_Gate")
        expect(score.locator(".emoe-line")).to_contain_text(prompt)
        expect(score).to_have_attribute("data-verdict", "")
        assert score.locator(".emoe-limit").count() == 0
        told = score.locator(".emoe-score").text_content()
        expect(frontend.card(gate).locator(".emoe-score")).to_have_text(told)
    assert frontend.complaints == []


def test_a_score_from_the_cache_stands_once_in_the_history(frontend: Any) -> None:
    """Newer hosts tell of a cached Score after its Gate has told the same."""
    for number in (1, 2):
        copy = template(FIRST)
        copy["id"] = str(uuid.uuid4())
        frontend.open(copy, f"cached_{number}")
        frontend.write_prompt(f"octopus {frontend.renderer}")
        assert press_run(frontend.page) == "success"
        for kind in ("EMoE_Score", "EMoE_Gate"):
            card = frontend.card(frontend.node(kind))
            expect(card.locator(".emoe-line")).to_contain_text("octopus")
            expect(card.locator(".emoe-history li")).to_have_count(1)
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "the rules for text around a widget are the renderer's")
def test_nothing_on_a_card_is_cut_off_at_any_size(frontend: Any) -> None:
    """From one line with the verdict to a large card: what has no room is left out, the rest is whole."""
    page = frontend.page
    frontend.open(FIRST)
    frontend.write_prompt("a sunflower, in the style of an old oil painting, with much light and little shade")
    frontend.set_widget("EMoE_Gate", "mode", "observe")
    assert press_run(page) == "success"
    card = frontend.card(frontend.node("EMoE_Gate"))
    come_near(frontend, frontend.node("EMoE_Gate"))
    sizes = [(width, height) for width in (200, 240, 270, 400) for height in range(24, 200, 6)]
    try:
        for place, language in enumerate(("en", "ja", "zh")):
            page.evaluate("async (name) => (await import('/extensions/emoe/words.js')).speak(name)", language)
            frontend.set_widget("EMoE_Gate", "threshold", 0.4 + place)  # the card is drawn anew
            found = frontend.at_sizes(card, sizes)
            assert {size: cut for size, (cut, _) in zip(sizes, found, strict=True) if cut} == {}, language
            assert found[0][1] == ["emoe-head"]
            assert found[-1][1] == ["emoe-head", "emoe-line", "emoe-gauge", "emoe-history"]
    finally:
        page.evaluate("async () => (await import('/extensions/emoe/words.js')).speak('en')")
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "a widget's room is the renderer's")
def test_a_new_node_has_room_for_the_gauge(frontend: Any) -> None:
    page = frontend.page
    frontend.open({"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}, "new")
    for place, kind in enumerate(("EMoE_Score", "EMoE_Gate")):
        page.evaluate(
            """([kind, place]) => {
                const node = LiteGraph.createNode(kind);
                node.pos = [420 * place, 0];
                app.graph.add(node);
            }""",
            [kind, place],
        )
        card = frontend.card(frontend.node(kind))
        expect(card).to_be_visible()
        # the host gives a new widget its room in the frame after it
        page.wait_for_function("(root) => root.clientHeight > 140", arg=card.element_handle())


@pytest.mark.run_in(DRAWN, "a widget's room is the renderer's")
def test_a_new_route_shows_its_whole_mark(frontend: Any) -> None:
    """In a node that is as wide as the host makes it, and in one that is made smaller than its mark's words."""
    page = frontend.page
    frontend.open(
        FIRST, "new_route"
    )  # a tab of its own: a newer frontend keeps the outputs of nodes that had these ids
    frontend.write_prompt(UNKNOWN)
    made = page.evaluate(
        """() => {
            const { graph } = app;
            const find = (type) => graph.nodes.find((n) => n.type === type);
            const old = find("EMoE_Route"), route = LiteGraph.createNode("EMoE_Route");
            route.pos = [old.pos[0], old.pos[1] + 300];
            graph.add(route);
            find("EMoE_Gate").connect(find("EMoE_Gate").outputs.findIndex((o) => o.name === "passed"), route, "passed");
            find("VAEDecode").connect(0, route, "on_pass");
            route.connect(0, find("SaveImage"), 0);
            graph.remove(old);
            return Number(route.id);
        }"""
    )
    assert press_run(page) == "success"
    mark = frontend.shown(made, "emoe_mark")
    come_near(frontend, made)
    expect(mark).to_contain_text("blocked ends here (p = 0.009, alpha 0.1)")
    expect(mark.locator(".emoe-why")).to_be_visible()
    frontend.wait_until_still()
    assert frontend.cut_off(mark) == []
    mark.evaluate("(root) => { root.style.width = '120px'; }")
    expect(mark.locator(".emoe-why")).to_be_hidden()
    assert frontend.cut_off(mark) == []
    assert frontend.complaints == []


@pytest.mark.run_in(DRAWN, "a node's size is the renderer's")
def test_no_node_grows_because_of_a_run(frontend: Any) -> None:
    """The widgets have their room from the start. In a workflow that was saved before they were there they take little."""
    page = frontend.page
    sizes = "() => app.graph.nodes.filter((n) => n.type.startsWith('EMoE_')).map((n) => [n.id, n.size[1]])"
    old = json.loads((OLD / "reroute_blocked_prompt.json").read_text("utf-8"))
    frontend.open(old, "growth")
    frontend.wait_until_still()
    before = page.evaluate(sizes)
    card = frontend.card(frontend.node("EMoE_Gate"))
    folded = 100 if frontend.folds() else 0  # where inputs stand folded, the card has their room
    assert card.evaluate("(root) => root.offsetHeight") <= 40 + folded
    assert press_run(page) == "success"
    expect(frontend.card(frontend.node("EMoE_Gate"))).to_have_attribute("data-verdict", re.compile("pass|block"))
    expect(frontend.card(frontend.node("EMoE_Route"), "emoe_mark")).to_contain_text("took")
    frontend.wait_until_still()
    assert page.evaluate(sizes) == before
    assert frontend.cut_off(frontend.card(frontend.node("EMoE_Gate"))) == []
