"""A digest of what functions and objects hold: the parameters of patches that other people's nodes put into a model.

Equal for what was built the same way, in every process: no addresses, no hashes of Python's own, no order of sets and
dicts, no module names (a node pack's is its path on this machine). What has no content to read counts by its type's name.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .signature import DIGEST_VALUES, sample_values

#: Objects that one digest looks at, and how deep. The rest counts by its type's name.
MOST_OBJECTS = 50_000
DEEPEST = 40
#: Values of tensors that are read one and all: a mask or an embedding may differ in a few. Beyond it they are sampled.
WHOLE_VALUES = 2**25
#: A prime number, so that a picture's sample is not one of its columns.
SAMPLED_VALUES = 65_521
#: What hosts leave on modules while they are loaded.
_OF_LOADING = ("comfy", "lowvram", "_function", "seed_key", "training")


class Contents:
    """Digests values of one model; what they share is read once. Nothing raises.

    Args:
        known: gives a word for what the caller knows by itself (the model's own weights, other models), else None. It is
            asked for every object and tensor that is met.
    """

    def __init__(self, known: Callable[[Any], str | None] = lambda value: None) -> None:
        self._known = known
        self._seen: dict[int, tuple[Any, str]] = {}  # keeps the objects too: the id of a dead one is given away again
        self._objects = MOST_OBJECTS
        self._values = WHOLE_VALUES

    def digest(self, value: Any) -> str:
        """SHA-256 (hex) of a function with all it closes over, an object with its attributes, or a plain value."""
        self._objects, self._values = MOST_OBJECTS, WHOLE_VALUES
        return self._digest(value, 0)

    def _digest(self, value: Any, depth: int) -> str:
        name = type(value).__qualname__
        try:
            plain = _plain(value)
        except Exception:  # a number too long to be written, say
            plain = name
        if plain is not None:
            return _hashed(plain)
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        if depth > DEEPEST or self._objects <= 0:
            return _hashed("beyond", name)
        self._objects -= 1
        self._seen[id(value)] = (value, _hashed("within", name))  # for whoever comes back to it from inside
        try:
            word = self._known(value)
            parts = list(self._parts(value, depth + 1)) if word is None else [word]
        except Exception:  # other people's objects: anything may happen when they are looked at
            parts = []
        digest = _hashed(name, *parts)
        self._seen[id(value)] = (value, digest)
        return digest

    def _parts(self, value: Any, depth: int) -> Iterator[str]:
        if isinstance(value, Tensor | np.ndarray):
            yield self._array(value)
        elif isinstance(value, nn.Module):
            yield from self._class(type(value), depth)
            yield from self._module(value, depth)
        elif isinstance(value, FunctionType):
            yield value.__qualname__
            for part in (value.__code__, value.__defaults__, value.__kwdefaults__, _closed_over(value)):
                yield self._digest(part, depth)
            yield from self._attributes(vars(value), depth)
        elif isinstance(value, CodeType):
            yield value.co_code.hex()
            for part in (value.co_names, value.co_freevars, value.co_consts):
                yield self._digest(part, depth)
        elif isinstance(value, MethodType):
            yield self._digest(value.__func__, depth)
            yield self._digest(value.__self__, depth)
        elif isinstance(value, BuiltinFunctionType):
            yield value.__qualname__
            yield self._digest(value.__self__, depth)
        elif isinstance(value, functools.partial):
            yield from (self._digest(part, depth) for part in (value.func, value.args, value.keywords))
        elif isinstance(value, property):
            yield from (self._digest(part, depth) for part in (value.fget, value.fset))
        elif isinstance(value, staticmethod | classmethod):
            yield self._digest(value.__func__, depth)
        elif isinstance(value, type):
            yield from self._class(value, depth)
        elif isinstance(value, dict | list | tuple | deque | set | frozenset) and len(value) > MOST_OBJECTS:
            yield str(len(value))
        elif isinstance(value, dict):
            entries = [(_key(key), inner) for key, inner in value.items()]
            for key, inner in sorted(entries, key=lambda entry: entry[0]):
                yield key
                yield self._digest(inner, depth)
        elif isinstance(value, list | tuple | deque):
            yield from (self._digest(inner, depth) for inner in value)
        elif isinstance(value, set | frozenset):
            yield from sorted(map(_key, value))
        elif not isinstance(value, ModuleType | uuid.UUID):  # a UUID is drawn anew every time
            name = getattr(value, "__qualname__", None)  # of methods written in C
            yield name if isinstance(name, str) else ""
            yield from self._class(type(value), depth)
            yield from self._attributes(_slots(value) | getattr(value, "__dict__", {}), depth)

    def _attributes(self, attributes: dict[str, Any], depth: int) -> Iterator[str]:
        for name in sorted(attributes):
            if name == "__wrapped__" or not name.startswith("__"):
                yield name
                yield self._digest(attributes[name], depth)

    def _class(self, cls: type, depth: int) -> Iterator[str]:
        """Names of a class and its bases; what calls run; all of classes made inside a function, which may close over values."""
        for base in cls.__mro__:
            yield base.__qualname__
            local = "<locals>" in base.__qualname__
            for name, value in sorted(vars(base).items()):
                hidden = name.startswith("__")
                method = isinstance(value, FunctionType) and not name.startswith("__annot")
                if (local and (method or not hidden)) or (name == "__call__" and method and base is not nn.Module):
                    yield name
                    yield self._digest(value, depth)

    def _module(self, module: nn.Module, depth: int) -> Iterator[str]:
        """Its parts by class and plain attributes, its weights by a sample, its buffers as far as they are read whole."""
        for path, part in module.named_modules():
            yield f"{path}={type(part).__qualname__}"
            for name, value in sorted(vars(part).items()):
                if not name.startswith("_") and not any(word in name for word in _OF_LOADING) and _is_plain(value):
                    yield name
                    yield self._digest(value, depth)
        for name, weight in module.named_parameters():
            yield name
            yield self._known(weight) or _sample(weight, DIGEST_VALUES)
        for name, buffer in module.named_buffers():
            yield name
            yield self._digest(buffer, depth)

    def _array(self, value: Tensor | np.ndarray[Any, Any]) -> str:
        shape, size = str(tuple(value.shape)), int(np.prod(value.shape))
        if size > self._values:
            value = value.reshape(-1)[:: -(-size // SAMPLED_VALUES)]
        else:
            self._values -= size
        return shape + _sample(value, 2**62)


def _sample(value: Tensor | np.ndarray[Any, Any], count: int) -> str:
    """Shape and at most `count` numbers of a tensor, in single precision."""
    shape = str(tuple(value.shape))
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
        return _hashed(shape, sample_values(tensor, count).astype("<f4").tobytes())
    except (RuntimeError, NotImplementedError, TypeError, ValueError):  # without memory, or of a type of its own
        return _hashed(shape)


def _plain(value: Any) -> str | None:
    """A plain value in words; None for everything else. Where something lies is nothing about it, so devices are equal."""
    if value is None or isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float, complex, bytes):
        if isinstance(value, kind):
            return f"{kind.__name__}:{kind.__repr__(value)}"
    return f"str:{value!s}" if isinstance(value, str | PurePath) else None


def _is_plain(value: Any, within: int = 3) -> bool:
    """Whether a module's attribute is read: plain values, tensors and containers of those, no objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return within > 0 and all(_is_plain(one, within - 1) for one in value)
    return isinstance(value, Tensor | np.ndarray | int) or _plain(value) is not None


def _key(value: Any) -> str:
    """A dict's key or a set's member: plain values and tuples of them, the rest by the name of what it is."""
    if isinstance(value, tuple | frozenset):
        inner = [_key(one) for one in value]
        return _hashed(type(value).__qualname__, *(inner if isinstance(value, tuple) else sorted(inner)))
    plain = _plain(value)
    return _hashed(str(getattr(value, "__qualname__", type(value).__qualname__)) if plain is None else plain)


def _closed_over(function: FunctionType) -> list[Any]:
    """The values of a closure; those not yet set are left out."""
    values = []
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            values.append(None)
    return values


def _slots(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _hashed(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(f"{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
