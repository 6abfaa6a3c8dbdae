"""A frontend that is much newer than the host: its app mode, and what once went wrong in it. Other tests run in it too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from emoe_host.browser import (
    change_settings,
    open_app_mode,
    open_page,
    press_run,
    run_app,
    toggle_app_mode,
)
from emoe_host.server import Server
from emoe_testing.frontend import NEWER, Frontend
from playwright.sync_api import Browser, Page, expect

FIRST = "gate_before_generation"
TEMPLATES = sorted((Path(__file__).resolve().parents[2] / "example_workflows").glob("*.json"))
UNKNOWN = "xchtgg"


@pytest.mark.run_in(NEWER, "each renderer draws a node's pictures in a way of its own")
def test_cards_are_drawn_once_and_pictures_are_pictures(frontend: Frontend) -> None:
    page = frontend.page
    frontend.open(FIRST)
    assert press_run(page) == "success"
    score, gate = frontend.node("EMoE_Score"), frontend.node("EMoE_Gate")

    def look() -> None:
        for node in (score, gate):
            card = frontend.card(node)
            expect(card.locator(".emoe-score")).to_have_text(re.compile(r"0\.\d+"))
            expect(card.locator(".emoe-gauge")).to_be_visible()
            assert frontend.cut_off(card) == []
            assert frontend.drawn_on(node) == 0  # the card as a picture would be a second one
        expect(frontend.card(gate)).to_have_attribute("data-verdict", "pass")
        expect(frontend.card(frontend.node("EMoE_Route"), "emoe_mark")).to_contain_text("passed took on_pass")
        assert frontend.images(frontend.node("EMoE_DisagreementMap"))[0] == 1024
        assert frontend.images(frontend.node("SaveImage"))[0] == 128

    look()
    toggle_app_mode(page)
    toggle_app_mode(page)
    look()
    assert frontend.complaints == []


def results(page: Page) -> list[str]:
    """File names of the pictures that app mode shows as results."""
    shown = page.get_by_test_id("linear-center-panel")
    expect(shown.locator("img[src*='emoe_card']").first).to_be_visible()
    sources = shown.locator("img").evaluate_all("(all) => all.map((one) => one.src)")
    return [str(re.findall(r"filename=([^&]+)", source)[0]) for source in sources if "filename=" in source]


@pytest.mark.run_in(NEWER[1:], "only newer frontends have an app mode")
def test_app_mode_shows_the_verdict_as_a_picture(frontend: Frontend) -> None:
    """App mode has no widgets of the pack: what it shows are the nodes' own results."""
    page = frontend.page
    frontend.open(FIRST)
    open_app_mode(page)
    assert run_app(page, "snail") == "success"
    names = results(page)
    assert any(name.startswith("emoe_card") for name in names)
    assert any(name.startswith("image_") for name in names)  # the one that was drawn
    toggle_app_mode(page)
    frontend.open(FIRST)
    open_app_mode(page)
    assert run_app(page, UNKNOWN) == "success"
    own = [name for name in results(page) if name not in names]  # newer hosts show the workflow's earlier results too
    assert any(name.startswith("emoe_card") for name in own)
    assert not any(name.startswith("image_") for name in own)
    toggle_app_mode(page)
    assert frontend.complaints == []


def test_the_nodes_speak_the_users_language(newer: Server, browser: Browser) -> None:
    """The older frontend loads its own texts over those of packs. What the page makes of one language it makes of every other."""
    title, label = "不確かさスコア", "プリセット"
    told = {language: texts["nodeDefs"]["EMoE_Score"] for language, texts in newer.get("/i18n").items()}
    assert told["ja"]["display_name"] == title and told["zh"]["display_name"] == "不确定性分数"
    change_settings(newer.url, {"Comfy.Locale": "ja"})
    try:
        with open_page(browser, newer.url) as page:
            made = page.evaluate(
                "() => { const node = LiteGraph.createNode('EMoE_Score'); return [node.title, node.widgets[0].label]; }"
            )
            assert made == [title, label]
            setting = page.evaluate("() => app.ui.settings.settingsLookup['EMoE.SayWhenBlocked'].name")
            assert setting == "ゲートがプロンプトをブロックしたら知らせる"
            words = page.evaluate(
                """async () => {
                    const { say, speak } = await import("/extensions/emoe/words.js");
                    speak("zh");
                    return say("setting");
                }"""
            )
            assert words == "闸门拦截提示词时通知我"
    finally:
        change_settings(newer.url, {"Comfy.Locale": "en"})


@pytest.mark.run_in(NEWER[:1], "app mode has no renderer: what it offers is read from the graph's nodes and widgets")
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_what_a_template_offers_in_app_mode_is_there(frontend: Frontend, path: Path) -> None:
    """A newer frontend drops what it cannot resolve, in silence."""
    wanted = json.loads(path.read_text("utf-8"))["extra"]["linearData"]
    assert wanted["inputs"] and wanted["outputs"]
    frontend.open(path.stem)
    found = frontend.page.evaluate(
        """(wanted) => wanted.inputs.filter(([id, name]) => !app.graph.getNodeById(id)?.widgets?.some((w) => w.name === name))
            .concat(wanted.outputs.filter((id) => !app.graph.getNodeById(id)))""",
        wanted,
    )
    assert found == []
    assert not frontend.page.locator(".comfy-missing-nodes").count()
    assert frontend.complaints == []
