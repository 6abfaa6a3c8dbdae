"""A trial's page in a real Chromium: whole at every width, in light and dark, in both languages and on paper, and alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from emoe_testing.audits import EVIL
from emoe_testing.pages import hard_to_read, read_in, too_wide
from emoe_testing.trials import contents
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from emoe_core.trial.evidence import evidence
from emoe_core.trial.labels import MARKS
from emoe_core.trial.page import write
from emoe_core.trial.pictures import NoPicture
from emoe_core.trial.store import Picture


def see(picture: Picture) -> Image.Image:
    if picture.prompt % 3 == 0:
        raise NoPicture("their files are not there any more")
    return Image.new("RGB", (512, 768), (40, picture.id % 250, 120))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hostile one: markup in prompts, groups and names, long and right-to-left words, pictures that are gone."""
    made = contents(text=lambda n: [EVIL, "x" * 3000, "\u062d\u0635\u0627\u0646"][n % 3] + str(n), judge=0.9)
    prompts = tuple(replace(one, columns={"<i>k</i>": EVIL if one.id % 2 else "y" * 300}) for one in made.prompts)
    facts = {**made.facts, "experts": [EVIL, "z" * 300]}
    shown = evidence(replace(made, prompts=prompts, facts=facts), MARKS, EVIL)
    return write(shown, tmp_path_factory.mktemp("trial"), see)[0]


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desktop light", "phone dark"])
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The page, opened from disk; afterwards nothing was said on the console and nothing else was asked for."""
    with read_in(browser, report, *request.param, "data:image/jpeg") as page:
        yield page


@pytest.mark.parametrize("language", ["en", "ja"])
def test_nothing_reaches_beyond_the_page(opened: Page, language: str) -> None:
    opened.evaluate("(id) => document.getElementById(id).click()", f"show-{language}")
    assert too_wide(opened) == []
    if opened.viewport_size and opened.viewport_size["width"] < 500:
        opened.set_viewport_size({"width": 360, "height": 800})
        assert too_wide(opened) == []


def test_everybody_can_read_it(opened: Page) -> None:
    assert hard_to_read(opened) == []


def test_the_pictures_and_the_curves_are_shown(opened: Page) -> None:
    sizes = opened.evaluate("() => [...document.images].map((one) => [one.naturalWidth, one.naturalHeight])")
    assert len(sizes) > 4 and set(map(tuple, sizes)) == {(171, 256)}
    expect(opened.locator(".shots .gone").first).to_be_visible()
    box = opened.locator("svg.area").bounding_box()
    assert box is not None and box["width"] > 250 and box["height"] > 200
    ticks = opened.locator(".plot .ticks span").all()
    places = [one.bounding_box() for one in ticks]
    assert len(places) > 3 and all(
        a and b and a["x"] + a["width"] < b["x"] for a, b in zip(places, places[1:], strict=False)
    )


def test_the_language_changes_without_a_script(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    english, japanese = page.get_by_role("heading", name="In short"), page.get_by_role("heading", name="\u8981\u7d04")
    expect(english).to_be_visible()
    expect(japanese).to_have_count(0)
    page.locator("label[for=show-ja]").click()
    expect(japanese).to_be_visible()
    expect(english).to_have_count(0)
    context.close()


def test_paper_has_everything_on_white(browser: Browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#limits")).to_be_visible()
    context.close()
