"""A trial's page: whole in both languages, nothing of a user's becomes markup, and the JSON says the same."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.audits import EVIL
from emoe_testing.messages import holes
from emoe_testing.pages import Japanese, Page, links_lead_somewhere
from emoe_testing.trials import RESPONSE, contents, prompt
from PIL import Image

from emoe_core.errors import EMoEError
from emoe_core.records.message import LANGUAGES
from emoe_core.trial.evidence import Evidence, evidence
from emoe_core.trial.labels import MARKS
from emoe_core.trial.page import html, record, wording, write
from emoe_core.trial.pictures import NoPicture
from emoe_core.trial.store import BAD, Contents, Picture


def see(picture: Picture) -> Image.Image:
    if picture.id % 7 == 0:
        raise NoPicture("their files are not there any more")
    return Image.new("RGB", (900, 600), (picture.id % 250, 80, 120))


def evil(number: int) -> str:
    return f"{EVIL} {number:04d}"


def looked(full: Contents, language: str = "ja") -> Contents:
    """The same trial after a look: prompts of each kind without a picture, and controls that failed."""
    kinds = {"reference": "en", "shuffled": "en", "nonsense": "en", "name": "en", "language": language, "rated": "en"}
    more = [
        replace(
            prompt(10_000 + 100 * place + number, {"layout": 0.1 * place + 0.01 * number, "fast": 0.5}, []),
            columns={
                "stage": "look",
                "kind": kind,
                "language": tag,
                "pair": str(number),
                "tokens": str(number % 5),
                **({"rating": str(-number)} if kind == "rated" else {}),
            },
        )
        for place, (kind, tag) in enumerate(kinds.items())
        for number in range(12)
    ]
    controls = {
        "matching": {"auroc": 0.6, "passed": False},
        "rounding": {"dtype": "float16", "other": "float32", "shares": {"layout": 0.4, "fast": 0.01}, "passed": False},
    }
    return replace(full, prompts=(*full.prompts, *more), facts={**full.facts, "controls": controls})


def every_end() -> list[Evidence]:
    """Trials that end in every way that a page can."""
    full = contents(judge=0.9)
    other = replace(full, judgements=tuple(replace(one, judge="preference <b>x</b>") for one in full.judgements))
    return [
        evidence(contents(300, {"layout": 2.5, "one_model": 0.3}), MARKS, "better"),
        evidence(full, "judge:clip", "judged"),
        evidence(other, "judge:preference <b>x</b>", "preference"),
        evidence(replace(full, readings=full.readings[:2]), MARKS, "alone"),
        evidence(contents(300, {"layout": 1.0, "one_model": 3.0}), MARKS, "behind"),
        evidence(contents(400, {"layout": 0.8, "fast": 3.0}), MARKS, "other"),
        evidence(contents(300, {"layout": -0.5}), MARKS, "refuted"),
        evidence(contents(60, {"layout": 0.5}), MARKS, "open"),
        replace(evidence(contents(60, {"layout": 0.5}), MARKS, "far"), why="open_far", needed=None),
        evidence(contents(16), MARKS, "few"),
        evidence(contents(16, share=0.0), MARKS, "good"),
        evidence(replace(full, readings=(RESPONSE,), facts={}), MARKS, "none"),
        evidence(replace(full, facts={"experts": ["only one"]}), MARKS, "one"),
        evidence(Contents({}, full.readings[:2], (prompt(1, {"layout": 0.1, "fast": 1}, [BAD]),)), MARKS, "bare"),
        evidence(replace(full, prompts=_timeless(full)), MARKS, "timeless"),
        evidence(contents(40, each=2), MARKS, "pairs"),
        evidence(looked(full), MARKS, "looked"),
    ]


def _timeless(full: Contents) -> Any:
    return tuple(replace(one, pictures=tuple(replace(p, seconds=None) for p in one.pictures)) for one in full.prompts)


@pytest.fixture(scope="module")
def ends() -> list[Evidence]:
    return every_end()


@pytest.fixture(scope="module")
def hostile() -> str:
    made = contents(text=evil, judge=0.9)
    columns = tuple(replace(one, columns={"<i>kind</i>": EVIL if one.id % 2 else "x"}) for one in made.prompts)
    facts = {**made.facts, "experts": [EVIL, "b"]}
    judged = tuple(replace(one, judge=EVIL) for one in made.judgements)
    whole = looked(replace(made, prompts=columns, facts=facts, judgements=judged), EVIL)
    return html(evidence(whole, f"judge:{EVIL}", EVIL), see)


def test_a_users_text_never_becomes_markup(hostile: str) -> None:
    parsed = Page(hostile)
    assert not {"script", "iframe", "object", "embed", "link", "i", "x"} & (
        {tag for tag, a in parsed.elements if not a}
    )
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    shown = "".join(parsed.texts)
    assert "<script>alert(1)</script>\"'>&[U+202E]txt.exe" in shown and "<i>kind</i>" in shown
    assert "<script" not in hostile and "\u202e" not in hostile


def test_the_page_loads_nothing_and_its_pictures_are_small(hostile: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', hostile)
    assert policy is not None and policy[1].startswith("default-src &#x27;none&#x27;") and "http" not in policy[1]
    pictures = 0
    for tag, attributes in Page(hostile).elements:
        assert not {"srcset", "xlink:href", "action", "background"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
        if source := attributes.get("src"):
            assert tag == "img" and source.startswith("data:image/jpeg;base64,")
            image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
            assert image.size == (256, 171)
            pictures += 1
    assert 6 < pictures <= 16 and len(hostile) < 400_000
    assert hostile.count('class="gone"') > 0


def test_pictures_that_are_gone_are_told() -> None:
    shown = evidence(contents())
    page = html(shown)
    count = len(shown.certain_bad) + len(shown.uncertain_good)
    assert count > 8 and "<img" not in page and f"{count} pictures are left out" in page
    assert page.count('class="gone"') == count


def test_every_link_of_the_page_leads_somewhere(hostile: str) -> None:
    assert links_lead_somewhere(hostile)


def test_both_languages_say_everything() -> None:
    for key, sides in wording.TEXTS.all.items():
        assert set(sides) == set(LANGUAGES) and all(sides.values()), key
        assert set(holes(sides["en"])) == set(holes(sides["ja"])), key
        for mark in ("<b>", "<code>"):
            assert sides["en"].count(mark) == sides["ja"].count(mark), key
        assert not re.search("[\u3041-\u3093\u30a1-\u30f6\u4e00-\u9fa0]", sides["en"]), key


def test_every_sentence_is_shown_in_both_languages(ends: list[Evidence]) -> None:
    """Trials of every end together show every text, and the Japanese page has no English left."""
    pages = [html(one, see, "ja", "2026-01-02") for one in ends]
    together = "".join(pages)
    for key, sides in wording.TEXTS.all.items():
        longest = max((part for _, part in _parts(sides["ja"])), key=len)
        assert longest in together, key
    for page in pages:
        read = Japanese(page)
        told = re.sub(
            "epistemic mixture of experts|confidence sequence|Uncertainty Score|Confidence Gate", "", read.shown
        )
        assert read.english == "" and not re.search(r"[A-Za-z'’,]+( [a-z'’,]+){2,}", told)


def _parts(text: str) -> list[tuple[int, str]]:
    """The pieces of a text between the values and the markup."""
    pieces = re.split(r"\{\w+\}|<[^>]*>", text)
    return list(enumerate(pieces))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_asked_language_is_shown_first(tmp_path: Path, language: str) -> None:
    page, numbers = write(evidence(contents(), MARKS, "mine"), tmp_path / "new" / "out", see, language)
    text = page.read_text("utf-8")
    checked = [a["id"] for tag, a in Page(text).elements if tag == "input" and "checked" in a]
    assert checked == [f"show-{language}"] and f'<html lang="{language}">' in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["trial.html", "trial.json"] and numbers.exists()


def test_an_unknown_language_or_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EMoEError, match="no language 'fr'"):
        html(evidence(contents()), language="fr")
    (tmp_path / "file").write_text("")
    with pytest.raises(EMoEError, match="cannot be written"):
        write(evidence(contents()), tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "rule", "sentence"),
    [
        (
            "better",
            "proved",
            r"On these three checkpoints the score foresees bad pictures \(AUROC 0\.\d\d, 95 % interval ",
        ),
        ("alone", "proved", r"foresees bad pictures \([^)]*\)\.$"),
        ("behind", "undecided", "but a number of one model does so clearly better"),
        ("refuted", "refuted", "does not foresee bad pictures"),
        ("open", "undecided", r"It was not shown that the score says anything .* about [\d,]+ more pictures decide it"),
        ("few", "undecided", r"It was not shown .*: \d+ good and \d+ bad pictures are too few"),
        ("none", "undecided", "no score that a Gate could use"),
        ("one", "proved", "^On this checkpoint the score foresees"),
        ("bare", "undecided", "0 good and 1 bad"),
    ],
)
def test_the_first_sentence(ends: list[Evidence], name: str, rule: str, sentence: str) -> None:
    shown = next(one for one in ends if one.name == name)
    said = record(shown)
    assert said["rule"] == rule and re.search(sentence, said["sentence"]), said["sentence"]
    assert "&" not in said["sentence"] and "<" not in said["sentence"] + said["sentence_ja"]


def test_what_was_only_scored_has_its_own_section(ends: list[Evidence]) -> None:
    without, shown = ends[1], ends[-1]
    assert shown.name == "looked" and shown.found == evidence(contents(judge=0.9), MARKS, "x").found
    page = html(shown, see)
    assert 'id="look"' in page and 'id="look"' not in html(without, see)
    kept = record(shown)["look"]
    assert {one["kind"] for one in kept["separations"]} == {"shuffled", "nonsense", "ja"} and kept["rated"]
    assert "Control failed: two experts" in page and "Control failed: rounding alone" in page


def test_the_record_is_json_and_says_what_the_page_says(ends: list[Evidence]) -> None:
    for shown in ends:
        said = json.loads(json.dumps(record(shown), allow_nan=False))
        assert said["pictures"] == shown.pictures and said["rule"] == shown.rule
        if shown.main is not None:
            assert said["auroc"] == {"value": shown.main.value, "low": shown.main.low, "high": shown.main.high}
        assert len(said["found"]) == len(shown.found) and len(said["quarters"]) == len(shown.quarters)
        if shown.report is not None:
            passes = [row["pass"] for row in said["coverage"]]
            assert passes[0] == 1.0 and passes == sorted(passes, reverse=True)
            assert said["coverage"][0]["bad_among_passed"] == pytest.approx(shown.report.bad.mean())
            assert said["coverage"][0]["good_lost"] == 0


def test_a_long_trial_makes_no_long_page() -> None:
    small, large = (html(evidence(contents(count, text=lambda n: "x" * 5000 + str(n)))) for count in (100, 1500))
    assert len(large) < 1.3 * len(small) < 200_000
