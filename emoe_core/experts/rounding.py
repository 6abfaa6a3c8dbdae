"""What rounding to a coarse type adds to the distance of two weights.

The grid of a tensor shows in its values, and what rounding to it adds to a squared distance is known.
"""

import re

import numpy as np
from numpy.typing import NDArray

from ..stats.evaluation import Floats
from .sets import Expert

#: Numbers with fewer significant bits than this are coarse: rounding to them may exceed what a fine-tune changes.
_COARSE_BITS = 7
#: Root mean square error of rounding by bits of a number with scales of its own, over the weights' size; half as much
#: again is allowed, because scales differ.
_ROUNDING = {8: 0.01, 6: 0.03, 5: 0.06, 4: 0.12, 3: 0.22, 2: 0.4, 1: 0.6}
#: The same for 8-bit floats, whose error is a share of each number.
_FLOAT8 = {"e4m3": 0.0265, "e5m2": 0.053, "mxfp8": 0.0265}
_FINE = ("", "float64", "float32", "bfloat16", "float16")


def rounding_of(expert: Expert, rows: NDArray[np.float32]) -> tuple[str, Floats]:
    """The type that an expert was coarsely rounded to, "" for none; and what that adds to a squared distance, [tensors].

    Of a coarse type whose scales hide the grid, what it adds is known for floats only, and 0 for others.

    Args:
        rows: sampled values, [tensors, values].
    """
    bits, finest = _grids(rows)
    is_on_grid = bool(np.median(bits) < _COARSE_BITS)
    kind = expert.weights if expert.weights not in _FINE else "8 bits" if is_on_grid else ""
    if not kind or is_on_grid:
        return kind, _to_grid(rows, bits, finest)
    is_float = "float8" in kind or "mxfp8" in kind
    share = share_of_rounding(kind) if is_float else None
    found: Floats = (share or 0.0) ** 2 * np.square(rows.astype(np.float64)).sum(axis=1)
    return kind, found


def _grids(rows: NDArray[np.float32]) -> tuple[NDArray[np.intp], Floats]:
    """Of each tensor's values: the significant bits that they need, and the finest step between them, [tensors] each."""
    bits = rows.astype(np.float32).view(np.uint32) & 0x7FFFFF
    lowest = (bits & (~bits + 1)).astype(np.float64)
    empty = np.where(bits > 0, np.log2(np.maximum(lowest, 1)), 23)
    alive = rows != 0
    needed = np.where(alive, 23 - empty, 0).max(axis=1).astype(np.intp)
    place = np.where(alive, np.frexp(np.abs(rows))[1] - 1 - 23 + empty, np.inf).min(axis=1)
    return needed, np.where(np.isfinite(place), np.exp2(np.where(np.isfinite(place), place, 0)), 0.0)


def _to_grid(rows: NDArray[np.float32], bits: NDArray[np.intp], finest: Floats) -> Floats:
    """What rounding to the grid adds to a tensor's squared distance: a twelfth of the squared step, summed, [tensors]."""
    exponent = np.frexp(np.abs(rows))[1] - 1
    steps = np.maximum(np.exp2(exponent - bits[:, None].astype(np.float64)), finest[:, None])
    found: Floats = (np.where(rows != 0, steps, finest[:, None]) ** 2 / 12).sum(axis=1)
    return found


def share_of_rounding(stored: str) -> float | None:
    """The usual root mean square error of rounding to a type with scales of its own, over the weights' size."""
    if stored in _FINE:
        return None
    by_name = next((share for name, share in _FLOAT8.items() if name in stored), None)
    if by_name is not None:
        return by_name
    found = re.search(r"\d+", stored)
    return _ROUNDING.get(int(found.group())) if found else None
