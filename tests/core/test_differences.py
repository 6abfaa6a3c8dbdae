"""Differences of weights in a few bits per number."""

from __future__ import annotations

import pytest
import torch

from emoe_core.experts import differences
from emoe_core.experts.differences import BITS, pack, unpack, unpack_at


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def left(difference: torch.Tensor, bits: int) -> torch.Tensor:
    packed = pack(difference, bits)
    return unpack(packed.codes, packed.steps, bits, difference.shape)


def kept(difference: torch.Tensor, bits: int) -> float:
    return 1 - float((difference - left(difference, bits)).square().sum() / difference.square().sum())


@pytest.mark.parametrize(("bits", "share"), [(1, 0.636), (2, 0.881), (4, 0.988), (8, 0.9999)])
def test_the_best_even_grid_keeps_what_max_says(bits: int, share: float) -> None:
    assert kept(normal(512, 1024), bits) == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 3, 3, 3), (2, 9), (4, 0)])
def test_any_shape_comes_back(bits: int, shape: tuple[int, ...]) -> None:
    assert left(normal(*shape), bits).shape == shape


@pytest.mark.parametrize("bits", BITS)
def test_bytes(bits: int) -> None:
    packed = pack(normal(64, 100), bits)
    assert packed.held == 64 * (-(-100 * bits // 8) + 4)
    assert packed.codes.dtype == torch.uint8


def test_the_share_does_not_depend_on_size_or_on_the_rows() -> None:
    difference = normal(64, 512)
    scaled = difference * torch.logspace(-12, 3, 64)[:, None]  # each row has its own step
    assert kept(difference[:1], 2) == pytest.approx(0.88, abs=0.02)
    assert torch.allclose(left(scaled, 2), left(difference, 2) * torch.logspace(-12, 3, 64)[:, None], rtol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_nothing_comes_of_nothing(bits: int) -> None:
    assert not left(torch.zeros(4, 6), bits).any()
    one = torch.zeros(2, 64)
    one[1] = 0.25
    found = left(one, bits)
    assert not found[0].any() and torch.allclose(found[1], one[1], rtol=1e-5)


def test_large_matrices_are_rounded_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = normal(33, 40)
    whole = left(difference, 2)
    monkeypatch.setattr(differences, "_BLOCK", 100)
    assert torch.equal(left(difference, 2), whole)


def test_half_precision_in_and_the_input_unchanged() -> None:
    difference = normal(8, 64).half()
    before = difference.clone()
    assert kept(difference.float(), 4) > 0.98 and left(difference, 4).dtype == torch.float32
    assert torch.equal(difference, before)


@pytest.mark.parametrize("bits", BITS)
def test_single_values_are_those_of_the_whole(bits: int) -> None:
    difference = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(bits))
    packed = pack(difference, bits)
    whole = unpack(packed.codes, packed.steps, bits, difference.shape).reshape(-1)
    places = torch.tensor([0, 1, 14, 15, 16, 52, 103, 104])
    assert torch.equal(unpack_at(packed.codes, packed.steps, bits, 15, places), whole[places])
