"""The audit's HTML report: whole in both languages, of bounded size, and nothing of a user's becomes markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from emoe_testing.audits import EVIL, RuleScorer, audit, mixed_rows
from emoe_testing.messages import every_message, holes, sample
from emoe_testing.pages import Japanese, Page, links_lead_somewhere

from emoe_core.audit.analysis import Options
from emoe_core.audit.pictures import WIDTH, distributions_picture, priorities_picture
from emoe_core.audit.report import html, names, wording, world, write
from emoe_core.audit.result import NOTES, AuditResult
from emoe_core.audit.scorer import About
from emoe_core.charts import spreads
from emoe_core.charts.theme import THEMES
from emoe_core.errors import EMoEError
from emoe_core.pages.markup import plain
from emoe_core.pages.wording import short
from emoe_core.records.message import LANGUAGES, Code


class Telling(RuleScorer):
    """Has everything to say that can be said."""

    def about(self) -> About:
        return replace(super().about(), calibration=sample(Code.CALIBRATION), messages=tuple(every_message()))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    options = Options(references=("language=en",), weights={("language", "ar"): 2.0})
    return audit(tmp_path_factory.mktemp("report"), mixed_rows(), options)


@pytest.fixture(scope="module")
def page(result: AuditResult) -> str:
    return html(result)


def test_a_prompt_never_becomes_markup(result: AuditResult, page: str) -> None:
    parsed = Page(page)
    assert not {"script", "img", "iframe", "object", "embed", "link"} & {tag for tag, _ in parsed.elements}
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    shown = "".join(parsed.texts)
    assert any(EVIL in one.prompt for group in result.groups for one in group.worst)
    assert "<script>alert(1)</script>\"'>&[U+202E]txt.exe" in shown
    assert "🐴👩‍👩‍👧" in shown and "حصان" in shown
    assert all(
        attributes.get("dir") == "auto" for _, attributes in parsed.elements if attributes.get("class") == "prompt"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("a\x00b\x7fc\x85d", "a[U+0000]b[U+007F]c d"),
        ("\u202eabc\u2066", "[U+202E]abc[U+2066]"),
        ("\ud800x\ufffe", "[U+D800]x[U+FFFE]"),
        ("x" * 50_000, "x" * 240 + " …"),
        ("می‌خواهم 👩‍👧", "می‌خواهم 👩‍👧"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain(text).encode("utf-8")


def test_the_page_loads_nothing(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and policy[1].startswith("default-src &#x27;none&#x27;") and "http" not in policy[1]
    for _, attributes in Page(page).elements:
        assert not {"src", "srcset", "xlink:href", "action", "background"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style and "@font-face" not in style


def test_every_link_of_the_page_leads_somewhere(page: str) -> None:
    assert links_lead_somewhere(page)


def test_both_languages_say_everything() -> None:
    for key, sides in wording.texts().items():
        assert set(sides) == set(LANGUAGES) and all(sides.values()), key
        assert set(holes(sides["en"])) == set(holes(sides["ja"])), key
        assert (
            re.sub(r"<(/?\w+)[^>]*>", r"<\1>", sides["en"]).count("<b>") == sides["ja"].count("<b>")
            or "cap" in sides["ja"]
        )
        assert not re.search("[ぁ-んァ-ヶ一-龠]", sides["en"]), key


def test_the_japanese_page_says_everything_in_japanese(tmp_path: Path) -> None:
    """Whatever the audit has to say, after it was stored and read again."""
    audit(tmp_path, mixed_rows(), Options(references=("language=en",)), Telling())
    result = AuditResult.load(tmp_path / "out")
    assert {one.code for one in every_message()} <= {one.code for one in result.messages}
    groups = result.groups
    for place, why in enumerate(NOTES):  # as groups that differ, so that the page tells why nothing is held equal
        own = replace(groups[place].adjusted or groups[-1].adjusted, marks=(), note=NOTES[why], why=why)
        effect = groups[place].effect or groups[-1].effect
        changed = replace(groups[place], finding="higher", explained=True, adjusted=own, effect=effect)
        groups = tuple(changed if i == place else group for i, group in enumerate(groups))
    for first in range(0, len(result.messages), 12):
        text = html(replace(result, groups=groups, messages=result.messages[first:]), "ja")
        page = Japanese(text)
        told = re.sub("epistemic mixture of experts|Unicode License v3|Natural Earth", "", page.shown)
        assert page.english == "" and not re.search(r"[A-Za-z'’,]+( [a-z'’,]+){2,}", told)
        for message in result.messages[first : first + 12]:
            assert message.line("ja") in page.shown
    for why in NOTES:
        assert wording.texts()[f"note_{why}"]["ja"] in page.shown


def test_a_result_without_codes_shows_its_sentences(result: AuditResult) -> None:
    """What an audit of an earlier pack left: English sentences, and nothing beside them."""
    kept = json.loads(json.dumps(result.as_dict()))
    assert AuditResult.from_dict(kept) == result and kept["warnings"] == list(result.warnings)
    del kept["messages"], kept["calibration_message"]
    for group in kept["groups"]:
        del (group["adjusted"] or {"why": ""})["why"]
    old = AuditResult.from_dict(kept)
    assert old.warnings == result.warnings and str(old.calibration) == str(result.calibration)
    page = Japanese(html(old, "ja"))
    assert "61 prompts have nothing in the column 'territory' and belong to no group of it." in page.english
    assert "Calibration 'rule': 10 prompts." in page.english


def test_no_sentence_is_left_over() -> None:
    """Every key of texts.json is used, as it is or with its end made of a name."""
    folder = Path(wording.__file__).parent
    code = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    made = [re.escape(start) for start in re.findall(r'f"(\w+_)\{', code)] + [
        r"\w+(?=_title|_lead)",
        "nav_",
        "head_",
        r"limit_\d",
    ]
    unused = [k for k in wording.texts() if f'"{k}"' not in code and not any(re.match(start, k) for start in made)]
    assert unused == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_asked_language_is_shown_first(result: AuditResult, tmp_path: Path, language: str) -> None:
    text = write(result, tmp_path / "r.html", language).read_text("utf-8")
    checked = [a["id"] for tag, a in Page(text).elements if tag == "input" and "checked" in a]
    assert checked == [f"show-{language}"] and f'<html lang="{language}">' in text
    assert wording.texts()["title"]["ja"] in text and wording.texts()["title"]["en"] in text
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_an_unknown_language_or_folder_is_one_sentence(result: AuditResult, tmp_path: Path) -> None:
    with pytest.raises(EMoEError, match="no language 'fr'; choose en or ja"):
        html(result, "fr")
    with pytest.raises(EMoEError, match="cannot be written"):
        write(result, tmp_path / "nowhere" / "r.html")


def test_every_group_is_shown_with_its_figures(result: AuditResult, page: str) -> None:
    shown = "".join(Page(page).texts)
    for name in (
        "Finnish",
        "フィンランド語",
        "Simplified Chinese",
        "xx-unknown",
        "Finland",
        "ブラジル",
        "Tuvalu",
        "Atlantis",
    ):
        assert name in shown, name
    for group in result.groups:
        assert group.score is not None and short(group.score.median) in shown
    assert "weight 2" in shown and "重み 2" in shown
    assert (
        "1 rows could not be read" not in shown and "0 rows could not be read, 1 prompts could not be scored" in shown
    )
    assert "61 prompts have nothing in the column “territory”" in shown and "列「territory」が空" in shown
    assert result.fingerprint in shown and "one.safetensors" in shown


def test_the_map_colours_the_right_country(result: AuditResult, page: str) -> None:
    coloured = {
        str(attributes["data-code"]): (tag, str(attributes["class"]))
        for tag, attributes in Page(page).elements
        if "data-code" in attributes
    }
    assert set(coloured) == {"FI", "JP", "US", "BR", "SG", "TV"}
    medians = {names.territory_code(g.value): g.score.median for g in result.of_column("territory") if g.score}
    edges = world.steps([medians[code] for code in coloured])
    assert all(coloured[code][1] == f"m{world.class_of(medians[code], edges)}" for code in coloured)
    assert coloured["FI"] == ("path", "m5") and coloured["US"] == ("path", "m0") and coloured["SG"][0] == "circle"
    finland = names.data("world")["shapes"]["FI"]
    assert f'data-code="FI" d="{finland}"' in page
    assert "Not on the map (1)" in page and page.count('class="land"') > 150


def test_the_map_puts_territories_where_they_are() -> None:
    drawn = names.data("world")
    (fi, jp, us, za, br) = (drawn["places"][code] for code in ("FI", "JP", "US", "ZA", "BR"))
    assert us[0] < br[0] < fi[0] < jp[0] and fi[1] < us[1] < br[1] < za[1]
    middle = drawn["places"]["GB"][0]
    assert abs(middle - drawn["width"] / 2) < 0.02 * drawn["width"]
    assert set(drawn["shapes"]) - set(drawn["places"]) == {""} and set(drawn["small"]) <= set(drawn["places"])
    assert set(drawn["places"]) <= set(names.data("names")["territories"]) and len(drawn["places"]) > 240
    assert (Path(names.__file__).parent / "data" / "world.json").stat().st_size < 80_000


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("JP", "JP"),
        ("jpn", "JP"),
        ("392", "JP"),
        ("Japan", "JP"),
        ("日本", "JP"),
        ("Ivory Coast", "CI"),
        ("uk", "GB"),
        ("8", "AL"),
        ("Atlantis", None),
        ("", None),
    ],
)
def test_territories_are_known_by_code_and_name(value: str, code: str | None) -> None:
    assert names.territory_code(value) == code


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("language", ["fr", "de", "es", "it"], "language"),
        ("Locale", ["pt-BR", "zh_Hans", "en"], "language"),
        ("group", ["fr", "de", "es", "it", "fi"], "plain"),
        ("group", ["FR", "DE", "ES", "IT", "FI"], "territory"),
        ("region", ["Europe", "Asia", "Africa"], "plain"),
        ("region", ["fr", "Germany", "ESP", "Mars"], "territory"),
        ("topic", ["Georgia", "cats"], "plain"),
    ],
)
def test_a_column_is_known_by_its_name_and_values(column: str, values: list[str], kind: str) -> None:
    assert names.kind_of(column, values) == kind


def many(result: AuditResult, count: int) -> AuditResult:
    """The result with `count` territories, each with all that a real group of it has, and prompts of 50,000 letters."""
    group = max(result.of_column("territory"), key=lambda g: len(g.words))
    long = tuple(replace(one, prompt="<&" * 25_000) for one in group.worst)
    codes = [*names.data("names")["territories"], *(f"group {i}" for i in range(count))][:count]
    groups = tuple(replace(group, value=code, worst=long, best=long) for code in codes)
    ranked = tuple(replace(result.priorities[0], column="territory", value=g.value) for g in groups)
    return replace(result, columns=("territory",), groups=groups, priorities=ranked, worst=long, best=long)


def test_a_report_of_250_groups_stays_small_and_folds_its_tail(result: AuditResult) -> None:
    text = html(many(result, 250))
    assert len(text.encode()) < 3_000_000 and "Show 235 more groups" in text
    assert len(html(many(result, 2)).encode()) < 250_000
    elements = Page(text).elements
    assert len([1 for tag, a in elements if tag == "details" and "open" in a]) == 1


@pytest.mark.parametrize("keep", [("language",), ("territory",), ()])
def test_with_one_column_or_none_the_page_is_still_whole(result: AuditResult, keep: tuple[str, ...]) -> None:
    groups = tuple(g for g in result.groups if g.column in keep)
    ranked = tuple(p for p in result.priorities if p.column in keep)
    bare = replace(result, columns=keep, groups=groups, priorities=ranked, experts=(), settings={}, calibration="")
    text = html(bare)
    Page(text)
    assert ('<svg class="map"' in text) == ("territory" in keep)
    nothing = replace(bare, prompts=0, overall=None, worst=(), best=(), bins=(), groups=(), priorities=(), rejected=())
    Page(html(nothing))


def test_groups_without_scores_are_said(result: AuditResult) -> None:
    empty = replace(
        result.groups[0], n=0, score=None, effect=None, unpaired=None, adjusted=None, finding="too few", text=None
    )
    empty = replace(empty, blocked=None, worst=(), best=(), words=(), concepts=(), baselines=())
    text = html(replace(result, columns=("language",), groups=(empty,), priorities=()))
    shown = "".join(Page(text).texts)
    assert "No group could be compared" in shown and "By language, no group could be compared" in shown


def test_the_data_names_its_licences() -> None:
    folder = Path(names.__file__).parent / "data"
    notice = (folder / "NOTICE").read_text("utf-8")
    for file in ("licences/world-atlas.txt", "licences/Unicode-3.0.txt"):
        assert file in notice and len((folder / file).read_text("utf-8")) > 500
    assert json.loads((folder / "names.json").read_text("utf-8"))["languages"]["fi"] == ["Finnish", "フィンランド語"]


def test_the_charts_hold_forty_groups_of_many_and_say_so(result: AuditResult) -> None:
    few, lots = priorities_picture(result), priorities_picture(many(result, 250))
    assert few.width == lots.width == WIDTH and lots.height < 1400
    assert distributions_picture(many(result, 250)).height == distributions_picture(many(result, 40)).height
    assert distributions_picture(many(result, 39)).height < distributions_picture(many(result, 40)).height
    nothing = replace(result, columns=(), groups=(), priorities=())
    assert priorities_picture(nothing).size == distributions_picture(nothing, "dark").size == (WIDTH, 120)


def test_a_chart_of_quantiles_refuses_what_it_cannot_draw() -> None:
    row = (0.1, 0.2, 0.3, 0.4, 0.5)
    colours = spreads(["a", "b"], [row, row], highlight=[True, False], notes=["x", "y"]).getcolors(1 << 20)
    assert colours is not None and {THEMES["light"].series[0], THEMES["light"].series[1]} <= {c for _, c in colours}
    for labels, rows in (([], []), (["a"], [row, row]), (["a"], [(0.1, 0.2, float("nan"), 0.4, 0.5)])):
        with pytest.raises(EMoEError, match="chart of quantiles"):
            spreads(labels, rows)
