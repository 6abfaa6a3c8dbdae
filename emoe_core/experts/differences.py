"""The difference of two weights in a few bits per number.

Every row of a matrix (for a convolution: every output channel) gets an even grid with a step of its own, and no zero on it:
with one bit per number keeps its sign, with two its sign and whether it is large. Rounding to a grid keeps nearly the same share
of any difference, whatever it is like, because it needs no structure in it: about 0.63 of the squared difference with one bit,
0.88 with two, 0.988 with four (normal numbers; Max, "Quantizing for minimum distortion", 1960). A product of two thin matrices
(LoRA) keeps as much as the difference has of low rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BITS = (1, 2, 4, 8)
#: The best step for normal numbers, in their root mean square (Max 1960; eight bits: so that four times it is inside).
_FIRST_STEP = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 4 / 128}
#: How often a row's step is fitted to its numbers; the error falls each time, by less than a thousandth after the third.
_FITS = 3
#: Numbers that are rounded at once: a megabyte, which stays in a processor's cache.
_BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class Packed:
    """A difference in few bits.

    Attributes:
        codes: places on the rows' grids, several in a byte, [rows, bytes per row] (uint8).
        steps: of the rows' grids, [rows] (float32).
        bits: per number, one of `BITS`.
    """

    codes: Tensor
    steps: Tensor
    bits: int

    @property
    def held(self) -> int:
        """Bytes."""
        return self.codes.nbytes + self.steps.nbytes


def pack(difference: Tensor, bits: int) -> Packed:
    """Rounds a difference, [rows, ...], to its rows' grids. Not defined for infinite numbers and NaN."""
    flat = difference.reshape(difference.shape[0], -1)
    each = max(1, _BLOCK // max(1, flat.shape[1]))
    parts = [_pack_rows(flat[i : i + each].float(), bits) for i in range(0, len(flat), each)]
    return Packed(torch.cat([codes for codes, _ in parts]), torch.cat([steps for _, steps in parts]), bits)


def _pack_rows(rows: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    half = 2 ** (bits - 1)
    steps = rows.square().mean(dim=1).sqrt_().mul_(_FIRST_STEP[bits])
    for _ in range(_FITS):
        levels = _places(rows, steps, half).add_(0.5)
        # least squares; no level is zero
        steps = torch.linalg.vecdot(rows, levels) / torch.linalg.vecdot(levels, levels)
    codes = _places(rows, steps, half).add_(half).to(torch.uint8)
    per_byte = 8 // bits
    codes = torch.nn.functional.pad(codes, (0, -codes.shape[1] % per_byte)).view(len(rows), -1, per_byte)
    packed = torch.zeros(codes.shape[:2], dtype=torch.uint8, device=codes.device)
    for place in range(per_byte):
        packed |= codes[..., place] << (bits * place)
    return packed, steps


def _places(rows: Tensor, steps: Tensor, half: int) -> Tensor:
    """Places on the rows' grids, from -half to half - 1; a place's level lies half a step above it."""
    # A row of zeros has a step of zero: any place stands for zero there.
    return (rows / steps.clamp_min(1e-30)[:, None]).floor_().clamp_(-half, half - 1)


def unpack(codes: Tensor, steps: Tensor, bits: int, shape: torch.Size) -> Tensor:
    """The rounded difference, of this shape, in float32; computed where the codes are."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=codes.device)
    places = (codes[..., None] >> shifts) & (2**bits - 1)
    rows: Tensor = places.flatten(start_dim=1)[:, : shape[1:].numel()].float()
    return rows.add_(0.5 - 2 ** (bits - 1)).mul_(steps.float()[:, None]).view(shape)


def unpack_at(codes: Tensor, steps: Tensor, bits: int, columns: int, places: Tensor) -> Tensor:
    """Single values of the rounded difference, by their places in the flattened weight, on the CPU.

    Args:
        columns: numbers in a row.
    """
    row, column = places // columns, places % columns
    code = (codes.cpu()[row, column * bits // 8].to(torch.int64) >> column * bits % 8) & (2**bits - 1)
    found: Tensor = (code.float() + 0.5 - 2 ** (bits - 1)) * steps.cpu().float()[row]
    return found
