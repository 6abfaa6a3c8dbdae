"""Every text of every node, in English as the schema has it, and in Japanese and Chinese, none missing and none stale."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emoe_testing.modules import script

ROOT = Path(__file__).resolve().parents[2]
HOW = "run `python tools/locales` (see its head) and translate what it lists"


@pytest.fixture(scope="module")
def texts() -> ModuleType:
    return script(ROOT / "tools" / "locales" / "texts.py", "emoe_locale_texts")


@pytest.fixture(scope="module")
def english(texts: ModuleType, node_classes: dict[str, Any]) -> dict[str, str]:
    return dict(texts.english({name: cls.GET_NODE_INFO_V1() for name, cls in sorted(node_classes.items())}))


def test_the_english_is_the_schemas_own(texts: ModuleType, english: dict[str, str]) -> None:
    assert len(english) > 300 and all(english.values())
    assert texts.read("en") == english, HOW


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_no_translation_is_missing_stale_or_left_over(
    texts: ModuleType, english: dict[str, str], language: str
) -> None:
    assert sorted(texts.missing(language, english)) == [], HOW
    assert sorted(texts.read(language).keys() - english.keys()) == [], HOW


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_no_letter_means_something_else_to_the_frontend(texts: ModuleType, language: str) -> None:
    assert [key for key, text in texts.read(language).items() if set(text) & set(texts.SPECIAL)] == []


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_sentences_are_translated(texts: ModuleType, english: dict[str, str], language: str) -> None:
    found = texts.read(language)
    same = [key for key in english if not key.endswith(".name") and found[key] == english[key]]
    assert same == []


def test_a_changed_text_is_seen(texts: ModuleType, english: dict[str, str]) -> None:
    key = "EMoE_Gate.inputs.alpha.tooltip"
    assert list(texts.missing("ja", english | {key: "Another wording."})) == [key]
