"""Kappa and its interval: against figures by hand, against a jackknife, and against truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emoe_core.stats.agreement import Agreement, kappa


def lists(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    one = [True] * (both + first) + [False] * (second + neither)
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return one, other


def test_a_table_by_hand() -> None:
    """20 and 15 agree of 50: p_o 0.7, p_e 0.5, so 0.4."""
    found = kappa(*lists(20, 5, 10, 15))
    assert found.value == pytest.approx(0.4) and found.pictures == 50
    assert found.low < 0.4 < found.high


def plain(cells: np.ndarray) -> float:
    """Kappa of four cells of any sum."""
    p = cells.reshape(2, 2) / cells.sum()
    chance = p.sum(1) @ p.sum(0)
    return float((np.trace(p) - chance) / (1 - chance))


@pytest.mark.parametrize("cells", [(20, 5, 10, 15), (40, 3, 1, 6), (2, 9, 8, 3), (90, 1, 4, 5)])
def test_the_error_is_that_of_the_delta_method(cells: tuple[int, int, int, int]) -> None:
    """The slope of kappa along each cell, weighed by the covariance of the multinomial."""
    p, step = np.array(cells) / sum(cells), 1e-6 * np.eye(4)
    slope = np.array([(plain(p + one) - plain(p - one)) / 2e-6 for one in step])
    error = math.sqrt(slope @ (np.diag(p) - np.outer(p, p)) @ slope / sum(cells))
    found = kappa(*lists(*cells))
    assert found.value == pytest.approx(plain(p))
    assert found.low == pytest.approx(max(-1, found.value - 1.959964 * error), rel=1e-4)
    assert found.high == pytest.approx(min(1, found.value + 1.959964 * error), rel=1e-4)


def test_the_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[0.25, 0.05], [0.08, 0.62]])
    chance = truth.sum(1) @ truth.sum(0)
    kappa_of_all = (np.trace(truth) - chance) / (1 - chance)
    held = 0
    for _ in range(400):
        cells = rng.multinomial(80, truth.ravel())
        found = kappa(*lists(*cells.tolist()))
        held += found.low <= kappa_of_all <= found.high
    assert held / 400 > 0.92


def test_perfect_agreement_of_few_pictures_proves_little() -> None:
    few, many = kappa(*lists(5, 0, 0, 5)), kappa(*lists(200, 0, 0, 200))
    assert few.value == many.value == 1 and few.high == many.high == 1
    assert few.low < 0.7 and many.low > 0.97
    assert kappa(*lists(0, 5, 5, 0)).low == -1


def test_one_that_never_calls_a_picture_bad_agrees_as_chance_does() -> None:
    found = kappa(*lists(0, 0, 10, 30))
    assert found.value == pytest.approx(0) and found.low < 0 <= found.high


def test_where_nothing_can_be_said() -> None:
    for found in (kappa([], []), kappa([True] * 4, [True] * 4)):
        assert isinstance(found, Agreement) and all(map(math.isnan, (found.value, found.low, found.high)))
    with pytest.raises(ValueError):
        kappa([True], [])
