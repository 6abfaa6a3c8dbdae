"""The audit's report in a real Chromium: whole at every width, in light and dark, in both languages and on paper, and alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from emoe_testing.audits import audit, mixed_rows
from emoe_testing.pages import hard_to_read, read_in, too_wide
from playwright.sync_api import Browser, Page, expect

from emoe_core.audit.analysis import Options
from emoe_core.audit.report import write


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hostile one: long, right-to-left and emoji prompts, markup in names, rows that could not be scored."""
    folder = tmp_path_factory.mktemp("report")
    return write(audit(folder, mixed_rows(8), Options(("language=en",))), folder / "report.html")


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop light", "phone dark"])
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The report, opened from disk; afterwards nothing was said on the console and nothing else was asked for."""
    with read_in(browser, report, *request.param) as page:
        yield page


def open_all(page: Page) -> None:
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_nothing_reaches_beyond_the_page(opened: Page, language: str) -> None:
    opened.evaluate("(id) => document.getElementById(id).click()", f"show-{language}")
    open_all(opened)
    assert too_wide(opened) == []
    if opened.viewport_size and opened.viewport_size["width"] < 500:
        opened.set_viewport_size({"width": 360, "height": 800})
        assert too_wide(opened) == []


def test_everybody_can_read_it(opened: Page) -> None:
    open_all(opened)
    assert hard_to_read(opened) == []


def test_the_language_changes_without_a_script(browser: Browser, report: Path) -> None:
    """In a browser whose scripts are off, by a click and by the keyboard."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    english, japanese = page.get_by_role("heading", name="In short"), page.get_by_role("heading", name="要約")
    expect(english).to_be_visible()
    expect(japanese).to_have_count(0)
    page.locator("label[for=show-ja]").click()
    expect(japanese).to_be_visible()
    expect(english).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    expect(english).to_be_visible()
    summary = page.locator("details.group:not([open]) > summary").first
    summary.click()
    expect(page.locator("details.group[open]")).to_have_count(3)
    context.close()


def test_paper_shows_what_is_folded(browser: Browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    folded = page.locator("details.group:not([open]) .prompts li").last
    expect(folded).to_be_hidden()
    page.emulate_media(media="print")
    assert folded.bounding_box() is not None
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator("nav")).to_be_hidden()
    context.close()


def test_the_map_is_drawn(opened: Page) -> None:
    box = opened.locator("svg.map").bounding_box()
    assert box is not None and box["width"] > 300 and 0.3 < box["height"] / box["width"] < 0.6
    finland = opened.locator("svg.map [data-code=FI]")
    colours = opened.evaluate(
        """() => ["FI", "US"].map((code) => getComputedStyle(document.querySelector(`[data-code=${code}]`)).fill)"""
    )
    assert len(set(colours)) == 2 and "Finland" in str(finland.locator("title").text_content())
