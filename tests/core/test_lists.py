"""Aligned lists stay aligned."""

from __future__ import annotations

import pytest

from emoe_core.errors import EMoEError
from emoe_core.gating.lists import partition, prompt_lines


def test_items_stay_beside_each_other() -> None:
    parts = partition([True, False, True], {"prompts": ["a", "b", "c"], "seeds": [1, 2, 3]})
    assert parts.accepted == {"prompts": ["a", "c"], "seeds": [1, 3]}
    assert parts.rejected == {"prompts": ["b"], "seeds": [2]}
    assert (parts.kept, parts.dropped) == ([0, 2], [1])


def test_one_item_stands_for_all() -> None:
    assert partition([True, False], {"model": ["m"]}).accepted == {"model": ["m"]}
    assert partition([False, False], {"model": ["m"]}).rejected == {"model": ["m", "m"]}


def test_an_empty_side_is_empty() -> None:
    parts = partition([False], {"x": [1]})
    assert parts.accepted == {"x": []} and parts.kept == []


@pytest.mark.parametrize("items", [[], [1, 2], [1, 2, 3, 4]])
def test_lists_of_another_length_are_refused(items: list[int]) -> None:
    with pytest.raises(EMoEError, match=f"list_2 has {len(items)} items and there are 3 decisions"):
        partition([True, True, False], {"list_1": [1, 2, 3], "list_2": items})


def test_a_prompt_a_line() -> None:
    assert prompt_lines(" a cat \n\n# not this\n山から日の出\n") == ["a cat", "山から日の出"]
    with pytest.raises(EMoEError, match="Prompt List has no prompts"):
        prompt_lines("\n # \n")
