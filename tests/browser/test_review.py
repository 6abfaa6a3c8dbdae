"""The tab Review: pictures are marked by keys, and no mark is lost or counted twice, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emoe_host.browser import go, wait_until_ready
from emoe_host.server import Server
from emoe_testing.frontend import EACH_ONCE, FRONTENDS, Frontend, complaints
from emoe_testing.packages import node_modules
from emoe_testing.verdicts import SETTINGS as SCORED
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

from emoe_core.trial.store import Drawn, Reading, Trial

AXE = Path(__file__).parent / "axe"
TAB = ".emoe-review-tab-button, [data-testid='emoe-review-tab-button']"
PICTURES = 40


class Reviewed:
    """A trial of forty pictures on a server, and a page beside it."""

    def __init__(self, server: Server, page: Page, name: str) -> None:
        self.under_way: dict[Page, set[Any]] = {}
        self.server, self.page, self.name = server, self.watch(page), name
        self.trial = Trial(server.base / "user" / "emoe" / "trials" / f"{name}.sqlite3")
        if not self.trial.path.is_file():
            fill(self.trial, server.output, name)
        self.expected: dict[str, str | None] = {}
        self.acts = 0

    def open(self, page: Page) -> Locator:
        """Opens the tab and chooses the trial."""
        page.locator(TAB).click()
        tab = page.locator(".emoe-review")
        tab.locator("select").select_option(f"trial:{self.name}")
        expect(tab.locator("[data-act='skip']")).to_be_focused()
        return tab

    def shown(self, page: Page) -> str:
        """The prompt of the picture that the page shows, once it can be seen."""
        page.wait_for_function(
            """() => {
                const image = document.querySelector(".emoe-review-pictures img");
                const good = document.querySelector(".emoe-review [data-act='good']");
                return image?.naturalWidth && good.getAttribute("aria-disabled") === "false";
            }"""
        )
        return str(page.locator(".emoe-review-pictures img").get_attribute("alt"))

    def press(self, page: Page, key: str) -> str:
        """Presses a key that marks what is shown, and returns its prompt."""
        prompt = self.shown(page)
        page.keyboard.press(key)
        self.expected[prompt] = "good" if key in ("g", "ArrowRight") else "bad"
        self.acts += 1
        return prompt

    def mark(self, page: Page, key: str) -> str:
        """As `press`, and returns when another picture is shown."""
        prompt = self.press(page, key)
        assert self.shown(page) != prompt
        return prompt

    def undo(self, page: Page, key: str, prompt: str) -> None:
        """Takes the mark of `prompt` back, which is then shown again."""
        page.keyboard.press(key)
        expect(page.locator(".emoe-review-pictures img")).to_have_attribute("alt", prompt)
        self.expected[prompt] = None
        self.acts += 1

    def settled(self, page: Page) -> None:
        """Returns when no mark waits any more."""
        page.wait_for_function(
            "() => !Object.keys(localStorage).some((key) => key.startsWith('emoe.mark '))", timeout=60000
        )

    def quiet(self, *pages: Page) -> None:
        """Returns when no page has had a question of the tab under way for half a second."""
        for page in pages:
            self.settled(page)
            since = 0
            while since < 5:
                page.wait_for_timeout(100)
                since = 0 if self.under_way[page] else since + 1

    def watch(self, page: Page) -> Page:
        """From now on, `quiet` knows what the page asks."""
        own = self.under_way.setdefault(page, set())
        page.on("request", lambda request: own.add(request) if "/emoe/review/" in request.url else None)
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: own.discard(request))
        return page

    def check(self) -> None:
        """Every mark is in the file, once, and nothing else is."""
        found = {one.prompt: one.pictures[0].quality for one in self.trial.contents().prompts}
        assert found == {prompt: self.expected.get(prompt) for prompt in found}
        with contextlib.closing(sqlite3.connect(self.trial.path)) as database:
            assert database.execute("SELECT count(*), count(DISTINCT token) FROM marks").fetchone() == (
                self.acts,
                self.acts,
            )


def fill(trial: Trial, output: Path, name: str, count: int = PICTURES) -> None:
    trial.begin({})
    (output / name).mkdir(parents=True, exist_ok=True)
    for row in range(count):
        image = Image.new("RGB", (192, 192), f"hsl({9 * row}, 55%, 40%)")
        ImageDraw.Draw(image).ellipse((30, 30, 162, 162), fill=f"hsl({9 * row + 120}, 60%, 60%)")
        image.save(output / name / f"{row}.png")
        prompt = f"a thing of kind {row} on a table, in the evening"
        trial.add(
            f"k{row}",
            row,
            prompt,
            {},
            {Reading("layout", SCORED): row / 100},
            [Drawn(0, "", f"{row}.png", name, "output")],
        )


@pytest.fixture
def reviewed(request: pytest.FixtureRequest, frontend: Frontend) -> Iterator[Reviewed]:
    """A trial of the test's own, in the page of its place; the tab is closed again."""
    page, server = frontend.page, frontend.server
    if not server.alive():  # a test failed after it had killed it
        server.again()
    place = request.node.callspec.params["frontend"]
    yield Reviewed(server, page, " ".join((*request.node.originalname.split("_")[1:4], place)))
    page.evaluate("() => document.querySelector('dialog.emoe-review-large')?.close()")
    if page.locator(".emoe-review").count():
        page.locator(TAB).click()
    expect(page.locator(".emoe-review")).to_have_count(0)


@pytest.mark.run_in(EACH_ONCE, "the frontend has keys and an undo of its own, and both renderers listen to them")
def test_thirty_marks_by_keys_alone_survive_all_that_happens(reviewed: Reviewed) -> None:
    page, server = reviewed.page, reviewed.server
    wrong = complaints(page)
    page.evaluate("() => { app.graph.clear(); app.graph.add(LiteGraph.createNode('EMoE_Score')); }")
    page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState?.()")
    nodes = page.evaluate("() => app.graph.nodes.length")
    tab = reviewed.open(page)
    order = [reviewed.mark(page, key) for key in ("g", "b", "ArrowRight", "ArrowLeft", "g", "b", "g", "g")]
    expect(tab).to_contain_text("8 of 40 marked: 5 good, 3 bad")
    expect(tab).to_contain_text("AUROC: known once enough pictures")
    assert "score" not in tab.inner_html().lower()

    first, second = order[-1], order[-2]
    reviewed.undo(page, "u", first)
    reviewed.undo(page, "Control+z", second)
    assert page.evaluate("() => app.graph.nodes.length") == nodes  # the graph's own undo has heard nothing
    skipped = []
    for key in ("s", "Space"):
        skipped.append(reviewed.shown(page))
        page.keyboard.press(key)
        assert reviewed.shown(page) not in skipped
    assert skipped == [second, first]
    for key in ("g", "b"):
        reviewed.mark(page, key)

    page.reload()
    wait_until_ready(page)
    tab = reviewed.open(page)
    expect(tab).to_contain_text("8 of 40 marked: 4 good, 4 bad")
    assert reviewed.shown(page) not in {*order, *skipped} | reviewed.expected.keys()
    for key in "gbgb":
        reviewed.mark(page, key)

    other = reviewed.watch(page.context.new_page())
    go(other, server.url)
    reviewed.open(other)
    same = 0
    for number in range(6):  # the first two of the new tab are those that were skipped in the other one
        here, there = (page, other) if number % 2 else (other, page)
        same += reviewed.shown(here) == reviewed.shown(there)
        marked = reviewed.mark(here, "g")
        expect(there.locator(".emoe-review-pictures img")).not_to_have_attribute("alt", marked)
    assert same == 3

    reviewed.quiet(page, other)  # what comes next is loaded
    prompt = reviewed.press(page, "b")
    server.kill()  # it may or may not have taken in the mark, and does not say
    assert reviewed.shown(page) != prompt
    expect(other.locator(".emoe-review-pictures img")).to_have_attribute("alt", reviewed.shown(page))
    reviewed.press(other, "g")
    expect(tab).to_contain_text("Your marks are kept")
    expect(tab).to_contain_text(re.compile("Marks that wait for the server: [12]"))
    other.close()
    server.again()
    reviewed.settled(page)
    reviewed.check()
    expect(tab).to_contain_text("20 of 40 marked")

    while reviewed.acts < 34:  # thirty, and the two undone ones with their undoing
        reviewed.mark(page, "gb"[reviewed.acts % 2])
    reviewed.settled(page)
    reviewed.check()
    assert sum(quality is not None for quality in reviewed.expected.values()) == 30
    expect(tab).to_contain_text("AUROC known to ± 0.")
    assert wrong == []


SERIOUS = """async (source) => {
    if (!window.axe) (0, eval)(source);
    const found = await window.axe.run(document.querySelector(".emoe-review"));
    return found.violations.map((one) => [one.impact, one.id, ...one.nodes.map((node) => node.html + node.failureSummary)]);
}"""


@pytest.mark.run_in(FRONTENDS, "each frontend has colours of its own, and the tab stands among what it draws")
def test_people_with_assistive_technology_can_use_it(reviewed: Reviewed) -> None:
    page, source = reviewed.page, (node_modules(AXE) / "axe-core" / "axe.min.js").read_text("utf-8")
    tab = reviewed.open(page)
    prompt = reviewed.shown(page)
    expect(tab.get_by_role("img", name=prompt)).to_be_visible()
    for theme in ("dark", "light"):
        page.evaluate("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", theme)
        page.wait_for_timeout(300)
        assert page.evaluate(SERIOUS, source) == [], theme
    page.evaluate("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    page.keyboard.press("g")
    following = reviewed.shown(page)
    expect(tab.get_by_role("status")).to_have_text(f"Marked good. {following}")
    expect(tab.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "1")
    expect(tab.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "1 of 40 marked: 1 good, 0 bad")
    # Every button is reached by Tab, pressed by Space and Enter, and shows where the focus is.
    page.keyboard.press("Shift+Tab")
    bad = tab.get_by_role("button", name="Bad (B)")
    expect(bad).to_be_focused()
    assert bad.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(tab.get_by_role("status")).to_contain_text("Marked bad.")
    reviewed.shown(page)
    page.keyboard.press("Enter")
    expect(tab).to_contain_text("3 of 40 marked: 1 good, 2 bad")
    # The whole window, and back.
    page.keyboard.press("f")
    large = page.get_by_role("dialog").locator(".emoe-review")
    expect(large).to_be_visible()
    box = page.locator(".emoe-review-pictures img").bounding_box()
    assert box is not None and box["height"] > 500
    assert page.evaluate(SERIOUS, source) == []
    reviewed.shown(page)
    page.keyboard.press("g")
    expect(large).to_contain_text("4 of 40 marked")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.emoe-review-large")).to_be_hidden()
    expect(page.locator(".emoe-review [data-act='skip']")).to_be_focused()


@pytest.mark.run_in(FRONTENDS, "the frontend's own keys must stay its own")
def test_keys_belong_to_the_tab_only_while_the_focus_is_in_it(reviewed: Reviewed) -> None:
    page = reviewed.page
    tab = reviewed.open(page)
    reviewed.shown(page)
    page.evaluate("() => document.activeElement.blur()")
    for key in ("g", "b", "u", "ArrowLeft"):
        page.keyboard.press(key)
    page.locator(".emoe-review select").focus()
    page.keyboard.press("b")
    page.wait_for_timeout(300)
    expect(tab).to_contain_text("0 of 40 marked")
    tab.locator("img").click()  # the picture takes the focus to the keys again
    tab.locator("[data-act='skip']").press("g")
    expect(tab).to_contain_text("1 of 40 marked")
    page.locator(TAB).click()
    expect(tab).to_have_count(0)
    page.keyboard.press("g")
    reviewed.open(page)
    expect(tab).to_contain_text("1 of 40 marked")


def test_a_swipe_marks(reviewed: Reviewed) -> None:
    page = reviewed.page
    tab = reviewed.open(page)
    for sign, said in ((1, "1 of 40 marked: 1 good, 0 bad"), (-1, "2 of 40 marked: 1 good, 1 bad")):
        reviewed.shown(page)
        tab.locator("figure").evaluate(
            """(stage, sign) => {
                const at = (name, x, y) => stage.dispatchEvent(new PointerEvent(
                    name, { pointerType: "touch", isPrimary: true, bubbles: true, clientX: 200 + x, clientY: 300 + y }));
                at("pointerdown", 0, 0), at("pointerup", sign * 20, 0);    // too short
                at("pointerdown", 0, 0), at("pointerup", sign * 90, 80);   // more down than aside
                at("pointerdown", 0, 0), at("pointerup", sign * 90, 10);
            }""",
            sign,
        )
        expect(tab).to_contain_text(said)


def test_what_cannot_be_seen_is_said_in_a_sentence_and_can_only_be_skipped(reviewed: Reviewed) -> None:
    page = reviewed.page
    odd = Trial(reviewed.trial.path.with_name("odd.sqlite3"))
    odd.begin({})
    odd.add("a", 1, "a picture that is gone", {}, {}, [Drawn(0, "", "gone.png", "", "output")])
    odd.add("b", 2, "a picture that is far away", {}, {}, [Drawn(0, "http://127.0.0.1:9", "far.png", "", "output")])
    page.locator(TAB).click()
    tab = page.locator(".emoe-review")
    tab.locator("select").select_option("trial:odd")
    told = {
        "a picture that is gone": "not there any more",
        "a picture that is far away": "http://127.0.0.1:9/view?filename=far.png",
    }
    while told:
        expect(tab.locator("figcaption")).to_contain_text("a picture that is")
        prompt = tab.locator("figcaption").inner_text()
        # Polled: the picture is loaded again whenever the server was asked, and meanwhile nothing is wrong with it.
        expect(tab.locator(".emoe-review-trouble")).to_contain_text(told.pop(prompt))
        page.keyboard.press("g")
        expect(tab.get_by_role("status")).to_contain_text("it cannot be marked")
        page.keyboard.press("s")
        expect(tab.locator("figcaption")).not_to_have_text(prompt)
    expect(tab).to_contain_text("Only skipped pictures are left.")
    drawn = [Drawn(0, "", "0.png", reviewed.name, "output")]
    odd.add("c", 3, "a picture that is drawn meanwhile", {}, {}, drawn)
    assert reviewed.shown(page) == "a picture that is drawn meanwhile"
    page.keyboard.press("s")
    expect(tab).to_contain_text("Only skipped pictures are left.")
    tab.get_by_role("button", name="Show the skipped ones again").click()
    expect(tab.locator("figcaption")).to_contain_text("a picture that is")
    assert [one.pictures[0].quality for one in odd.contents().prompts] == [None] * 3

    # A mark for a row that is gone is told, and does not stop those after it.
    stale = {"source": "trial:odd", "picture": 99, "quality": "good", "token": "stale-mark"}
    page.evaluate(
        "(mark) => localStorage.setItem(`emoe.mark ${location.pathname} 000000000000001 x`, JSON.stringify(mark))",
        stale,
    )
    tab.locator("select").select_option(f"trial:{reviewed.name}")
    reviewed.shown(page)
    reviewed.mark(page, "g")
    reviewed.settled(page)
    reviewed.check()
    assert json.loads(page.evaluate("() => JSON.stringify(Object.keys(localStorage))")).count("emoe.mark") == 0
