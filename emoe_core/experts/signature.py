"""What a model's weights tell: a content digest, and whether two models descend from one base.

Both read a fixed, evenly spaced sample of every tensor. That takes milliseconds instead of seconds for a model of a
billion weights, and any fine-tune moves the sampled values as it moves the others. The digest identifies honest files; it
is no defence against somebody who edits single weights on purpose.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIGEST_VALUES = 256
LINEAGE_VALUES = 64
#: Fine-tunes of one base keep correlated weights (above 0.5 even after long training); independent seeds give about 0.
RELATED = 0.2


@dataclass(frozen=True, eq=False)
class Signature:
    """Identity of a set of weights.

    Attributes:
        digest: SHA-256 (hex) over names, shapes and sampled values of every tensor.
        layout: SHA-256 (hex) over names and shapes only: equal for models of one architecture.
        rows: sampled values of the matrices and kernels, [tensors, LINEAGE_VALUES], for the lineage check.
        unread: indices of the rows whose values cannot be read, in order; those rows are zero.
        names: the rows' names.
    """

    digest: str
    layout: str
    rows: NDArray[np.float32]
    unread: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


class Sampled(Protocol):
    """A tensor that is packed or not in memory: its shape, and a sample of its values."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def sample(self, count: int) -> NDArray[np.float32]:
        """What `sample_values` would give for the tensor itself."""


@dataclass(frozen=True)
class Unread:
    """A tensor whose values cannot be read because its packing is unknown.

    Attributes:
        shape: the shape of the weight where it is known, else of its stored form.
        raw: stands in the digest in place of the values.
    """

    shape: tuple[int, ...]
    raw: bytes


def sample_values(tensor: Tensor, count: int) -> NDArray[np.float32]:
    """At most `count` evenly spaced values of the flattened tensor, as float32 on the CPU."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() > count:
        step = flat.numel() // count
        flat = flat[: step * count : step]  # a slice, since 8-bit floats cannot be indexed
    values: NDArray[np.float32] = flat.to(device="cpu", dtype=torch.float32).numpy()
    return values


def signature(weights: Iterable[tuple[str, Tensor | Sampled | Unread]]) -> Signature:
    """Signature of named weights, in any order, whether they are in memory or not."""
    content, layout = hashlib.sha256(), hashlib.sha256()
    rows: list[NDArray[np.float32]] = []
    unread: list[int] = []
    names: list[str] = []
    for name, tensor in sorted(weights, key=lambda item: item[0]):
        label = f"{name}:{tuple(tensor.shape)};".encode()
        layout.update(label)
        content.update(label)
        is_matrix = len(tensor.shape) >= 2 and math.prod(tensor.shape) >= LINEAGE_VALUES
        if is_matrix:
            names.append(name)
        if isinstance(tensor, Unread):
            content.update(tensor.raw)
            if is_matrix:
                unread.append(len(rows))
                rows.append(np.zeros(LINEAGE_VALUES, dtype=np.float32))
            continue
        content.update(_values(tensor, DIGEST_VALUES).astype("<f4").tobytes())
        if is_matrix:
            rows.append(_values(tensor, LINEAGE_VALUES))
    stacked = np.stack(rows) if rows else np.zeros((0, LINEAGE_VALUES), dtype=np.float32)
    return Signature(content.hexdigest(), layout.hexdigest(), stacked, tuple(unread), tuple(names))


def _values(tensor: Tensor | Sampled, count: int) -> NDArray[np.float32]:
    return sample_values(tensor, count) if isinstance(tensor, Tensor) else tensor.sample(count)


def relatedness(a: Signature, b: Signature) -> float | None:
    """Median, over weight tensors, of the correlation between two models of one layout, in [-1, 1]; None where unknown.

    1 for copies, high for fine-tunes of one base, about 0 for models trained from different seeds. Only matrices and
    kernels are compared: normalisation scales and biases start at 1 and 0 in every model, so they correlate anyway.
    NaN weights count as unrelated. Unknown means that fewer than half of the tensors can be read in both models.
    """
    if a.layout != b.layout or len(a.rows) == 0:
        return 0.0
    if a.digest == b.digest:
        return 1.0
    read = np.setdiff1d(np.arange(len(a.rows)), np.union1d(a.unread, b.unread).astype(int))
    if 2 * len(read) < len(a.rows):
        return None
    rows_a, rows_b = a.rows[read], b.rows[read]
    with np.errstate(invalid="ignore", over="ignore"):
        x = rows_a - rows_a.mean(axis=1, keepdims=True)
        y = rows_b - rows_b.mean(axis=1, keepdims=True)
        scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        alive = scale > 0
        if not alive.any():
            return 1.0 if np.array_equal(rows_a, rows_b) else 0.0
        correlation = (x * y).sum(axis=1)[alive] / scale[alive]
    return float(np.median(np.nan_to_num(correlation)))
