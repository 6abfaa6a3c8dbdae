"""Reading parts of a safetensors file: single tensors, and single values of a tensor.

Nothing is memory-mapped: a mapped file is read ahead in pieces of 128 kB and more, so a few values of each tensor would
pull in most of the file. Here only the requested bytes are read (the disk rounds up to its pages of 4 kB).
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from ..errors import EMoEError
from .signature import DIGEST_VALUES, LINEAGE_VALUES, sample_values

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
#: Values that lie closer together than this (bytes) are read in one go with what lies between them.
_CLOSE = 4096


class WeightsFile:
    """An open safetensors file; a context manager.

    Attributes:
        metadata: the file's own remarks, by name.

    Raises:
        SafetensorError, OSError: the file is damaged, cut short, no safetensors file, or missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with safe_open(str(path), framework="pt") as checked:  # reads the header, and checks it against the file's size
            self.metadata: dict[str, str] = dict(checked.metadata() or {})
        self.version = file_version(self.path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed in __exit__)
        if hasattr(os, "posix_fadvise"):  # no reading ahead between scattered values
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        size = int.from_bytes(self._bytes(0, 8), "little")
        header: dict[str, Any] = json.loads(bytes(self._bytes(8, size)))
        header.pop("__metadata__", None)
        self._data = 8 + size
        self._entries = header

    def __enter__(self) -> "WeightsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """Names of all tensors."""
        return list(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, from the header."""
        return tuple(self._entries[name]["shape"])

    def dtype(self, name: str) -> torch.dtype | None:
        """A tensor's type, from the header; None for one that torch lacks."""
        return _DTYPES.get(self._entries[name]["dtype"])

    def shell(self, name: str) -> Tensor:
        """A tensor of that shape and type without memory (on torch's meta device)."""
        return torch.empty(self.shape(name), dtype=self._known(name), device="meta")

    def read(self, name: str) -> Tensor:
        """The whole tensor, in memory of its own."""
        tensor = torch.empty(self.shape(name), dtype=self._known(name))
        if tensor.numel():
            start, end = self._entries[name]["data_offsets"]
            self._into(self._data + start, _memory(tensor)[: end - start])
        return tensor

    def sample(self, name: str, count: int) -> Tensor:
        """The values that `signature.sample_values` takes, [at most count], in the file's type."""
        shape, dtype = self.shape(name), self._known(name)
        total, item = math.prod(shape), dtype.itemsize
        step = total // count if total > count else 1
        if step * item <= _CLOSE:
            flat = self.read(name).view(-1)
            return flat[: step * count : step] if total > count else flat
        values = torch.empty(count, dtype=dtype)
        view = _memory(values)
        start = self._data + self._entries[name]["data_offsets"][0]
        for index in range(count):
            self._into(start + index * step * item, view[index * item : (index + 1) * item])
        return values

    def _known(self, name: str) -> torch.dtype:
        dtype = self.dtype(name)
        if dtype is None:
            raise EMoEError(
                f"The file '{self.path.name}' holds numbers of type {self._entries[name]['dtype']}, which cannot be "
                "read in parts; load the model whole."
            )
        return dtype

    def _bytes(self, start: int, size: int) -> bytearray:
        data = bytearray(size)
        self._into(start, memoryview(data))
        return data

    def _into(self, start: int, view: memoryview) -> None:
        self._file.seek(start)
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])
            if not count:
                raise EMoEError(f"The file '{self.path.name}' ends too early; download it again.")
            done += count


def _memory(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in memory, to be written to."""
    raw: Any = tensor.view(-1).view(torch.uint8).numpy()
    return memoryview(raw)


class FileTensor:
    """A tensor that stays in its file, in the form that `signature.signature` takes (see `signature.Sampled`).

    Args:
        dtype: the tensor's type in the loaded model; values are rounded to it, as loading does.
    """

    def __init__(self, file: WeightsFile, name: str, dtype: torch.dtype) -> None:
        self.shape = file.shape(name)
        self._file, self._name, self._dtype = file, name, dtype
        self._digest: Tensor | None = None

    def sample(self, count: int) -> NDArray[Any]:
        """As `signature.sample_values` of the loaded tensor."""
        if count == DIGEST_VALUES:
            self._digest = self._file.sample(self._name, count)
            taken = self._digest
        elif self._digest is not None and count == LINEAGE_VALUES and math.prod(self.shape) % DIGEST_VALUES == 0:
            taken = self._digest[:: DIGEST_VALUES // LINEAGE_VALUES]  # the coarser sample is part of the finer one
        else:
            taken = self._file.sample(self._name, count)
        return sample_values(taken.to(self._dtype), count)


def file_version(path: Path) -> tuple[int, int]:
    """Size and modification time (ns), which tell whether a file has changed."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
