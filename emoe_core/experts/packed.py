"""Single values of packed weights, without unpacking the whole tensor.

A signature samples some hundred values of every tensor. Each function here describes one kind of packing by the value at
a place of the flattened weight, so only the requested values are unpacked. All arithmetic is float32 on the CPU, whatever
type the host unpacks to, because a digest must not depend on the device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

#: Gives the values [n] (float32, on the CPU) at these places [n] of the flattened weight.
Values = Callable[[Tensor], Tensor]

#: The values of the sixteen codes of a 4-bit float (one sign, two exponent bits, one mantissa bit).
_E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed weight, as `signature.signature` takes it (see `signature.Sampled`).

    Attributes:
        shape: the shape of the weight, not of its stored form.
        values: gives the values at places of the flattened weight.
    """

    shape: tuple[int, ...]
    values: Values

    def sample(self, count: int) -> NDArray[Any]:
        """What `signature.sample_values` would give for the unpacked weight."""
        total = math.prod(self.shape)
        step = total // count if total > count else 1
        values: NDArray[Any] = self.values(torch.arange(min(total, count)) * step).numpy()
        return values

    def by_columns(self, factors: Tensor) -> "Packed":
        """The weight with each column multiplied by a factor of its own, [columns]."""
        columns = take_all(factors)
        return replace(self, values=lambda places: self.values(places) * columns[places % self.shape[-1]])


def take(stored: Tensor, places: Tensor) -> Tensor:
    """Values at places of a flattened plain tensor, as float32 on the CPU. 8-bit floats cannot be indexed directly."""
    flat = stored.detach().reshape(-1)
    at = places.to(flat.device)
    if flat.element_size() == 1 and flat.is_floating_point():
        return flat.view(torch.uint8)[at].cpu().view(flat.dtype).to(torch.float32)
    return flat[at].cpu().to(torch.float32)


def take_all(stored: Tensor) -> Tensor:
    """All values of a plain tensor, flat, as float32 on the CPU."""
    return stored.detach().reshape(-1).cpu().to(torch.float32)


def scaled(stored: Tensor, scale: Tensor | None) -> Packed | None:
    """Numbers times one scale, or one scale per row. None where the scale has another shape."""
    shape = tuple(stored.shape)
    if scale is None:
        return Packed(shape, lambda places: take(stored, places))
    scales = take_all(scale)
    if scales.numel() == 1:
        return Packed(shape, lambda places: take(stored, places) * scales)
    row = math.prod(shape[1:])
    if shape and scales.numel() == shape[0] and scale.shape[0] == shape[0]:
        return Packed(shape, lambda places: take(stored, places) * scales[places // row])
    return None


def nvfp4(stored: Tensor, scale: Tensor, block_scale: Tensor, shape: tuple[int, int]) -> Packed | None:
    """4-bit floats, two per byte, with one scale per 16 values of a row and one for all. Rows and columns may be padded."""
    pitch = stored.shape[-1] * 2
    blocks = _tiled(block_scale, stored.shape[0], pitch // 16)
    if blocks is None or scale.numel() != 1:
        return None
    whole, packed = take_all(scale), stored.view(torch.uint8)

    def values(places: Tensor) -> Tensor:
        row, column = places // shape[1], places % shape[1]
        codes = _halves(packed, row * pitch + column, high_first=True)
        return _E2M1[codes] * (whole * take(block_scale, blocks(row, column // 16)))

    return Packed(shape, values)


def mxfp8(stored: Tensor, block_scale: Tensor, shape: tuple[int, int]) -> Packed | None:
    """8-bit floats with one power of two per 32 values of a row. Rows and columns may be padded."""
    pitch = stored.shape[-1]
    blocks = _tiled(block_scale, stored.shape[0], pitch // 32)
    if blocks is None:
        return None
    exponents = block_scale.view(torch.uint8)

    def values(places: Tensor) -> Tensor:
        row, column = places // shape[1], places % shape[1]
        exponent = take(exponents, blocks(row, column // 32))
        power = torch.where(exponent == 0, 0.0, torch.exp2(exponent - 127))
        return take(stored, row * pitch + column) * power

    return Packed(shape, values)


def int4_rows(stored: Tensor, scale: Tensor, shape: tuple[int, int]) -> Packed | None:
    """Signed 4-bit numbers, two per byte, with one scale per row."""
    if stored.numel() * 2 != math.prod(shape) or scale.numel() != shape[0]:
        return None
    scales, packed = take_all(scale), stored.view(torch.uint8)

    def values(places: Tensor) -> Tensor:
        codes = _halves(packed, places, high_first=False)
        return torch.where(codes >= 8, codes - 16, codes).to(torch.float32) * scales[places // shape[1]]

    return Packed(shape, values)


def int4_groups(
    stored: Tensor,
    group_scale: Tensor,
    row_scale: Tensor,
    shape: tuple[int, int],
    codebook: Tensor | None = None,
    correction: Tensor | None = None,
) -> Packed | None:
    """4-bit codes, scaled per group of a row to 8-bit whole numbers, which are scaled per row.

    Args:
        group_scale: [rows, groups].
        row_scale: [rows].
        codebook: the values of the sixteen codes; -8 to 7 where None.
        correction: added to every number of a group, [groups, rows].
    """
    rows, columns = shape
    groups = group_scale.shape[-1]
    if stored.numel() * 2 != rows * columns or group_scale.shape != (rows, groups) or columns % groups:
        return None
    packed, by_row, size = stored.view(torch.uint8), take_all(row_scale), columns // groups
    table = torch.arange(-8.0, 8.0) if codebook is None else take_all(codebook)

    def values(places: Tensor) -> Tensor:
        row, group = places // columns, places % columns // size
        numbers = table[_halves(packed, places, high_first=False)] * take(group_scale, row * groups + group)
        found = numbers.round().clamp(-127, 127) * by_row[row]
        return found if correction is None else found + take(correction, group * rows + row)

    return Packed(shape, values)


def turned_back(packed: Packed, group: int) -> Packed | None:
    """A weight whose rows were rotated, group by group, by an orthogonal matrix of -1 and 1 (a Hadamard matrix)."""
    if packed.shape[-1] % group or group < 4 or 4 ** round(math.log(group, 4)) != group:
        return None

    def values(places: Tensor) -> Tensor:
        members = (places - places % group)[:, None] + torch.arange(group)
        turned = packed.values(members.reshape(-1)).reshape(-1, group)
        # double precision, so that the order of the sum does not matter
        return (turned.double() * _hadamard(group)[places % group]).sum(dim=1).to(torch.float32)

    return Packed(packed.shape, values)


@lru_cache(maxsize=8)
def _hadamard(size: int) -> Tensor:
    """The normalised matrix [size, size] with equal row sums, for a power of four."""
    four = torch.tensor([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]], dtype=torch.float64)
    made = four
    while made.shape[0] < size:
        made = torch.kron(made, four)
    return made / math.sqrt(size)


def _halves(packed: Tensor, places: Tensor, high_first: bool) -> Tensor:
    """The 4-bit codes [n] (int64) at places of a tensor of bytes that holds two codes per byte."""
    byte = packed.detach().reshape(-1)[(places // 2).to(packed.device)].cpu().to(torch.int64)
    is_high = (places % 2 == 0) == high_first
    return torch.where(is_high, byte >> 4, byte & 15)


def _tiled(scales: Tensor, rows: int, columns: int) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Where the scale of a row and column lies in the 128 x 4 tiles that the matrix units of graphics cards read.

    A tile holds the rows 0, 32, 64, 96, 1, 33, ... one after the other, four scales each.
    """
    across = math.ceil(columns / 4)
    if scales.numel() != math.ceil(rows / 128) * across * 512:
        return None

    def place(row: Tensor, column: Tensor) -> Tensor:
        inside = row % 128
        return (row // 128 * across + column // 4) * 512 + inside % 32 * 16 + inside // 32 * 4 + column % 4

    return place
