"""Messages: a code with its values, with words in every language, that survives being stored."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.messages import every_message, holes, sample

from emoe_core.records.message import LANGUAGES, Code, Message, dump_all, dump_one, load_all, load_one

ROOT = Path(__file__).resolve().parents[2]
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.value)
def test_every_code_has_words_in_every_language(code: Code) -> None:
    words = {language: code.words(language) for language in LANGUAGES}
    assert all(words.values())
    assert all(holes(text) == holes(code.words("en")) for text in words.values())
    assert not JAPANESE.search(code.words("en"))
    if re.search("[a-z]", re.sub(r"\{.*?\}", "", code.words("en"))):
        assert JAPANESE.search(code.words("ja"))
    for language in LANGUAGES:
        assert "{" not in sample(code).line(language)


def made() -> list[tuple[str, str, set[str]]]:
    """File, code and names of the values of every message that the pack makes."""
    found = []
    for path in [*(ROOT / "emoe_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "of":
                (first, *_) = node.args or [None]
                if isinstance(first, ast.Attribute) and getattr(first.value, "id", "") == "Code":
                    found.append((path.name, first.attr, {str(one.arg) for one in node.keywords}))
    return found


def test_every_message_that_is_made_has_the_values_of_its_words() -> None:
    for file, name, values in made():
        assert values == set(holes(Code[name].words("en"))), f"{name} in {file}"
    assert {name for _, name, _ in made()} == {code.name for code in Code}
    kept = json.loads((ROOT / "emoe_core" / "records" / "messages.json").read_text(encoding="utf-8"))
    assert list(kept) == [code.value for code in Code]


def test_messages_survive_being_stored() -> None:
    messages = every_message()
    kept = json.loads(json.dumps({**dump_all(messages), **dump_one("calibration", sample(Code.CALIBRATION))}))
    assert kept["warnings"] == [str(one) for one in messages]
    assert load_all(kept) == tuple(messages)
    assert load_one("calibration", kept) == sample(Code.CALIBRATION)
    assert dump_one("calibration", None) == {"calibration": "", "calibration_message": None}
    assert load_one("calibration", dump_one("calibration", None)) is None
    assert len(dict.fromkeys([*messages, *load_all(kept)])) == len(messages)


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"messages": None},
        {"messages": ["?"]},
        {"messages": [{"code": "of a newer pack", "values": {}}]},
        {"messages": [{"code": "few", "values": {"count": 3}}]},
        {"messages": [{"code": "few"}]},
        {"messages": [{"code": "proved", "values": {"name": "x", "count": 1, "largest": "no number"}}]},
    ],
)
def test_a_sentence_without_a_code_that_is_known_stays_as_it_is(kept: dict[str, Any]) -> None:
    (found,) = load_all({"warnings": ["It is {odd}."], **kept})
    assert found == Message.of(Code.SENTENCE, text="It is {odd}.") and str(found) == "It is {odd}."


def test_a_message_reads_as_a_sentence_in_both_languages() -> None:
    two = [Message.of(Code.EXPERT_IS, name=name, what="EPS") for name in ("a", "b's")]
    said = Message.of(Code.PREDICTIONS, experts=two)
    assert (
        str(said) == "The experts predict different things ('a' EPS, 'b's' EPS); part of the score is that difference."
    )
    assert "「a」はEPS、「b's」はEPS" in said.line("ja")
    assert "(“A” EPS, “B'S” EPS)" in said.line("en", lambda text: text if text == "EPS" else text.upper())
