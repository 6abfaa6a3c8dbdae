"""CSV that a spreadsheet opens: no cell of it is a formula, and each is what it was when the apostrophe is gone."""

from __future__ import annotations

import csv
import io

import pytest
from emoe_testing.spreadsheets import original

from emoe_core.io.spreadsheet import harmless, write_csv

FORMULAS = ("=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "- a cat")
TEXTS = ("", "a = b", "'quoted'", "'", "a cat", "1-2", " =1", "猫")


@pytest.mark.parametrize("text", [*FORMULAS, *TEXTS])
def test_the_way_there_and_back(text: str) -> None:
    assert harmless(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert original(harmless(text)) == text
    assert (harmless(text) == text) == (text in TEXTS)


def test_numbers_stay_numbers_and_headers_are_cells_too() -> None:
    file = io.StringIO(newline="")
    write_csv(file, ["a", "=b"], [{"a": -1.5, "=b": FORMULAS[0]}, {"a": None}])
    assert list(csv.reader(io.StringIO(file.getvalue()))) == [["a", "'=b"], ["-1.5", f"'{FORMULAS[0]}"], ["", ""]]
