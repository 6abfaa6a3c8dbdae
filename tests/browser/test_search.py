"""The node search of the real frontend finds the pack by the words that people type."""

from __future__ import annotations

import re
from typing import Any

import pytest
from emoe_testing.frontend import EACH_ONCE
from playwright.sync_api import expect

#: A word that people type, and the node that it should lead to.
WORDS = {
    "uncertainty": "Uncertainty Score",
    "confidence": "Confidence Gate",
    "gate": "Confidence Gate",
    "stop": "Stop or Skip by Gate",
    "reroute": "Reroute by Gate",
    "skip": "Stop or Skip by Gate",
    "quality": "Gate Quality Report",
}


@pytest.mark.run_in(
    EACH_ONCE, "the search is the frontend's, and newer ones place the node that was chosen in the renderer"
)
def test_the_search_finds_the_nodes_and_adds_the_chosen_one(frontend: Any) -> None:
    page = frontend.page
    frontend.open({"last_node_id": 0, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}, "search")
    # by the host's command: on a busy machine two clicks come too late for a double click
    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    box = page.get_by_role("combobox").and_(page.get_by_placeholder(re.compile(r"Search Nodes|Add a node")))
    for word, name in WORDS.items():
        box.fill("")
        page.keyboard.type(word)
        entry = page.get_by_role("option").filter(
            has_text=re.compile(rf"^\s*{name}(?! of a List)")
        )  # not in a description
        expect(entry).to_have_count(1)
        expect(entry).to_be_visible()
        expect(entry).to_contain_text("emoe")  # the pack's badge: not another one's node of this name
    entry.click()
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'EMoE_DecisionReport')")
    expect(box).to_have_count(0)
    page.mouse.move(900, 600)
    page.mouse.click(960, 600)  # newer frontends ask where
    expect(page.locator("[inert]")).to_have_count(0)
    assert page.evaluate("() => app.graph.nodes.map((node) => node.title)") == ["Gate Quality Report"]
    assert frontend.complaints == []
