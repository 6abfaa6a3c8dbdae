"""Single values of weights in the block formats of GGUF files.

A weight is a row of blocks of 32 or 256 values. A block holds codes of two to eight bits with a scale and an offset that
turn them into numbers; newer formats add finer scales within the block.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .packed import Packed

_Bytes = NDArray[np.uint8]
_Floats = NDArray[np.float32]
#: The numbers that the codes of the table formats (IQ4) stand for.
_TABLE = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float32)


def blocks(stored: Tensor, kind: str, shape: tuple[int, ...]) -> Packed | None:
    """A weight in blocks.

    Args:
        stored: the bytes of all blocks in order.
        kind: the format's name, e.g. "Q4_K".
        shape: the shape of the weight.

    Returns:
        None for an unknown format, or for bytes that do not fit the shape.
    """
    if kind not in _FORMATS:
        return None
    length, size, unpack = _FORMATS[kind]
    raw = stored.detach().reshape(-1).view(torch.uint8)
    total = math.prod(shape)
    if total % length or raw.numel() != total // length * size:
        return None

    def values(places: Tensor) -> Tensor:
        table = raw.reshape(-1, size)
        wanted, back = torch.unique(places // length, return_inverse=True)
        unpacked = torch.from_numpy(unpack(table[wanted.to(raw.device)].cpu().numpy()))
        return unpacked[back, places % length]

    return Packed(shape, values)


def _half(block: _Bytes, at: int) -> _Floats:
    """The 16-bit float at one byte of every block, [blocks, 1]."""
    return np.ascontiguousarray(block[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(codes: _Bytes, chunk: int) -> _Bytes:
    """4-bit codes: in each chunk of bytes the low halves come first, then the high ones, [blocks, 2 * bytes]."""
    parts = codes.reshape(len(codes), -1, 1, chunk)
    return np.concatenate([parts & 15, parts >> 4], axis=2).reshape(len(codes), -1)


def _crumbs(codes: _Bytes, chunk: int = 32) -> _Bytes:
    """2-bit codes: in each chunk of bytes the lowest pairs of bits come first, [blocks, 4 * bytes]."""
    parts = codes.reshape(len(codes), -1, 1, chunk)
    return np.concatenate([parts >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(len(codes), -1)


def _bits(codes: _Bytes) -> _Bytes:
    """Single bits, the lowest bit of every byte first, [blocks, 8 * bytes]."""
    return np.concatenate([codes >> shift & 1 for shift in range(8)], axis=1)


def _word_bits(codes: _Bytes) -> _Bytes:
    """The bits of a four-byte number, lowest first, [blocks, 32]."""
    return np.unpackbits(codes, axis=1, bitorder="little")


def _each(scales: NDArray[Any], values: NDArray[Any]) -> _Floats:
    """Scales [blocks, parts], repeated for the values of each part, [blocks, values]."""
    return np.repeat(scales.astype(np.float32), values.shape[1] // scales.shape[1], axis=1)


def _q4_0(b: _Bytes) -> _Floats:
    return _half(b, 0) * (_nibbles(b[:, 2:], 16).astype(np.float32) - 8)


def _q4_1(b: _Bytes) -> _Floats:
    return _half(b, 0) * _nibbles(b[:, 4:], 16) + _half(b, 2)


def _q5_0(b: _Bytes) -> _Floats:
    codes = _nibbles(b[:, 6:], 16) | _word_bits(b[:, 2:6]) << 4
    return _half(b, 0) * (codes.astype(np.float32) - 16)


def _q5_1(b: _Bytes) -> _Floats:
    codes = _nibbles(b[:, 8:], 16) | _word_bits(b[:, 4:8]) << 4
    return _half(b, 0) * codes + _half(b, 2)


def _q8_0(b: _Bytes) -> _Floats:
    return _half(b, 0) * np.ascontiguousarray(b[:, 2:]).view(np.int8)


def _q2_k(b: _Bytes) -> _Floats:
    codes, scales = _crumbs(b[:, 16:80]), b[:, :16]
    return _half(b, 80) * _each(scales & 15, codes) * codes - _half(b, 82) * _each(scales >> 4, codes)


def _q3_k(b: _Bytes) -> _Floats:
    codes = _crumbs(b[:, 32:96]).astype(np.float32) - 4 * (1 - _bits(b[:, :32]).astype(np.float32))
    scales = (_nibbles(b[:, 96:104], 8) | _crumbs(b[:, 104:108], 4) << 4).astype(np.float32) - 32
    return _half(b, 108) * _each(scales, codes) * codes


def _scales_and_offsets(b: _Bytes) -> tuple[_Bytes, _Bytes]:
    """Eight scales and eight offsets of six bits from twelve bytes, [blocks, 8] each."""
    first, second, last = b[:, :4], b[:, 4:8], b[:, 8:12]
    scales = np.concatenate([first & 63, last & 15 | first >> 6 << 4], axis=1)
    return scales, np.concatenate([second & 63, last >> 4 | second >> 6 << 4], axis=1)


def _q4_k(b: _Bytes) -> _Floats:
    return _with_offsets(b, _nibbles(b[:, 16:], 32))


def _q5_k(b: _Bytes) -> _Floats:
    return _with_offsets(b, _nibbles(b[:, 48:], 32) | _bits(b[:, 16:48]) << 4)


def _with_offsets(b: _Bytes, codes: NDArray[Any]) -> _Floats:
    scales, offsets = _scales_and_offsets(b[:, 4:16])
    found: _Floats = _half(b, 0) * _each(scales, codes) * codes - _half(b, 2) * _each(offsets, codes)
    return found


def _q6_k(b: _Bytes) -> _Floats:
    codes = (_nibbles(b[:, :128], 64) | _crumbs(b[:, 128:192]) << 4).astype(np.float32) - 32
    scales = np.ascontiguousarray(b[:, 192:208]).view(np.int8)
    return _half(b, 208) * _each(scales, codes) * codes


def _iq4_nl(b: _Bytes) -> _Floats:
    return _half(b, 0) * _TABLE[_nibbles(b[:, 2:], 16)]


def _iq4_xs(b: _Bytes) -> _Floats:
    numbers = _TABLE[_nibbles(b[:, 8:], 16)]
    low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=2).reshape(-1, 8)
    high = np.stack([b[:, 2:4] >> shift & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(-1, 8)
    return _half(b, 0) * _each((low | high << 4).astype(np.float32) - 32, numbers) * numbers


def _bf16(b: _Bytes) -> _Floats:
    return (np.ascontiguousarray(b).view(np.uint16).astype(np.uint32) << 16).view(np.float32)


#: Per format: values per block, bytes per block, and the function that unpacks [blocks, bytes] to [blocks, values].
_FORMATS: dict[str, tuple[int, int, Callable[[_Bytes], _Floats]]] = {
    "Q4_0": (32, 18, _q4_0),
    "Q4_1": (32, 20, _q4_1),
    "Q5_0": (32, 22, _q5_0),
    "Q5_1": (32, 24, _q5_1),
    "Q8_0": (32, 34, _q8_0),
    "Q2_K": (256, 84, _q2_k),
    "Q3_K": (256, 110, _q3_k),
    "Q4_K": (256, 144, _q4_k),
    "Q5_K": (256, 176, _q5_k),
    "Q6_K": (256, 210, _q6_k),
    "IQ4_NL": (32, 18, _iq4_nl),
    "IQ4_XS": (256, 136, _iq4_xs),
    "BF16": (1, 2, _bf16),
}
