"""Words are found in any script, left out cleanly, and told by what they add."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emoe_core.errors import EMoEError
from emoe_core.scoring.attribution import MOST_WORDS, attribute, split_words, without
from emoe_core.show.words import colour_of, words_picture


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red apple, on the table", ["a", "red", "apple", "on", "the", "table"]),
        ("l'été d'un chat-loup", ["l'été", "d'un", "chat-loup"]),
        ("(red hat:1.2), embedding:bad-hands blue", ["(red hat:1.2)", "embedding:bad-hands", "blue"]),
        ("游乐场滑梯", ["游", "乐", "场", "滑", "梯"]),
        ("山から日の出", ["山", "から", "日", "の", "出"]),
        ("赤いスポーツカー", ["赤", "い", "スポーツカー"]),
        ("сне́говик 2025", ["сне́говик", "2025"]),
        ("लाल हिन्दी सेब।", ["लाल", "हिन्दी", "सेब"]),
        ("تُفَّاحَة حمراء", ["تُفَّاحَة", "حمراء"]),
        ("น้ำตก", ["น้ำ", "ต", "ก"]),
        ("red apple リンゴ", ["red", "apple", "リンゴ"]),
    ],
)
def test_words_in_many_scripts(text: str, words: list[str]) -> None:
    found = split_words(text)
    assert [word.text for word in found] == words
    assert all(text[word.start : word.end] == word.text for word in found)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a red apple", ["red apple", "a apple", "a red"]),
        ("cat, dog, bird", ["dog, bird", "cat, bird", "cat, dog"]),
        ("cat , dog", ["dog", "cat"]),
        ("山の出", ["の出", "山出", "山の"]),
    ],
)
def test_a_word_leaves_no_hole(text: str, left: list[str]) -> None:
    assert [without(text, word) for word in split_words(text)] == left


def scored(text: str) -> float:
    """A score that is known in closed form: 0.1, and 0.5 more for each unknown word."""
    return 0.1 + 0.5 * text.count("xchtgg")


def test_the_change_is_what_the_word_adds() -> None:
    asked: list[str] = []
    found = attribute("red xchtgg apple", lambda texts: asked.extend(texts) or map(scored, texts))
    assert asked == ["red xchtgg apple", "xchtgg apple", "red apple", "red xchtgg"]
    assert [found.change(word) for word in found.words] == pytest.approx([0.0, 0.5, 0.0])
    assert found.ranked()[0] == ("xchtgg", pytest.approx(0.5))
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["words"][1]["change"] == pytest.approx(0.5)
    assert found.lines()[1].endswith("xchtgg")


def test_a_repeated_word_is_scored_once() -> None:
    asked: list[str] = []
    attribute("red red apple", lambda texts: asked.extend(texts) or [0.0] * len(texts))
    assert asked == ["red red apple", "red apple", "red red"]


def test_a_single_word_has_nothing_to_be_left_out() -> None:
    asked: list[str] = []
    found = attribute("sunflower", lambda texts: asked.extend(texts) or [0.3])
    assert asked == ["sunflower"] and found.change(found.words[0]) is None
    assert words_picture(found).size[0] == 768 and len(found.lines()) == 2


@pytest.mark.parametrize("text", ["", " ,. !", " ".join(["word"] * (MOST_WORDS + 1))])
def test_no_word_and_too_many_are_said_before_anything_is_scored(text: str) -> None:
    with pytest.raises(EMoEError, match="Word Attribution's text"):
        attribute(text, lambda _: pytest.fail("scored"))


def test_the_picture_colours_the_word_that_matters() -> None:
    found = attribute("red xchtgg apple", lambda texts: map(scored, texts))
    picture = np.asarray(words_picture(found)).reshape(-1, 3)
    orange, blue = (picture == colour_of(1, 1)).all(axis=1).sum(), (picture == colour_of(-1, 1)).all(axis=1).sum()
    assert orange > 2000 > blue  # the word's box, against the legend's two swatches


def test_a_long_prompt_wraps_and_any_script_is_drawn() -> None:
    found = attribute(" ".join(["mountain"] * 30) + " 山から日の出", lambda texts: [float(len(text)) for text in texts])
    picture = words_picture(found)
    assert picture.height > words_picture(attribute("a b", lambda texts: map(scored, texts))).height
    assert np.asarray(picture.convert("L"))[:, -15:].min() > 200  # nothing runs out on the right
