"""A digest of what a user chose: the parameters of the objects that other node packs patch into a model.

The digest is the same for the same choice in every process and on every release of the host and of Python. So it leaves out
code, module names, addresses, Python's own hashes, the order of sets and dicts, and anything that a run leaves behind. A node
pack that only moves or rewrites its code keeps the digest. An object that cannot be read counts by the name of its type.
"""

import dis
import functools
import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import chain
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .signature import DIGEST_VALUES, sample_values

#: How many objects one digest reads, and how deep. The rest count by the names of their types.
MOST_OBJECTS = 50_000
DEEPEST = 40
#: A tensor with at most this many values is read in full: masks or embeddings may differ in a few. Larger ones are sampled.
WHOLE_VALUES = 2**25
#: A prime number, so that the sample of a picture does not follow one of its columns.
SAMPLED_VALUES = 65_521
#: Attributes that hosts leave on modules while they are loaded.
_OF_LOADING = ("comfy", "lowvram", "_function", "seed_key", "training")
#: Methods that a call runs: an attribute that these set is left over from a run.
_CALLED = ("__call__", "forward")


class Contents:
    """Digests the values of one model; what they share is read once. Nothing raises.

    Args:
        known: gives a word for what the caller identifies itself (the model's own weights, other models), else None. It is
            asked about every object and tensor.
        patches: all functions and objects in the model: a variable that one of them writes while it runs is left out of
            the digests of the others too.
    """

    def __init__(self, known: Callable[[Any], str | None] = lambda value: None, patches: Iterable[Any] = ()) -> None:
        self._known = known
        self._written = _written_cells(patches)
        self._run_sets: dict[type, set[str]] = {}
        self._seen: dict[int, tuple[Any, str]] = {}  # holds the objects too: Python reuses the id of a dead one
        self._objects = MOST_OBJECTS
        self._values = WHOLE_VALUES

    def digest(self, value: Any) -> str:
        """SHA-256 (hex) of the parameters of a function or an object, or of a plain value."""
        self._objects, self._values = MOST_OBJECTS, WHOLE_VALUES
        return self._digest(value, 0)

    def beside(self, value: Any, own: Any) -> str:
        """Digest of what `value` has beyond `own`, the object that it replaces; "" for nothing.

        Hosts give their objects new attributes in every release, with a neutral value that the model's own object has too.
        """
        if _plain(value) is not None:
            return self.digest(value)
        inside = set()
        if isinstance(own, nn.Module):  # read it, though the caller identifies it
            inside = {id(part) for part in chain(own.modules(), own.parameters(), own.buffers())}
        apart = Contents(lambda one: None if id(one) in inside else self._known(one))
        apart._written = self._written
        parts = [set(apart._safe_parts(one)) for one in (value, own)]
        changed = sorted(parts[0] - parts[1])
        return _hashed(*changed) if changed else ""

    def _digest(self, value: Any, depth: int) -> str:
        name = type(value).__name__
        try:
            plain = _plain(value)
        except Exception:  # for example a number too long to be written
            plain = name
        if plain is not None:
            return _hashed(plain)
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        if depth > DEEPEST or self._objects <= 0:
            return _hashed("beyond", name)
        self._objects -= 1
        self._seen[id(value)] = (value, _hashed("within", name))  # for references back to it from inside
        digest = _hashed(name, *self._safe_parts(value, depth + 1))
        self._seen[id(value)] = (value, digest)
        return digest

    def _safe_parts(self, value: Any, depth: int = 0) -> list[str]:
        try:
            word = self._known(value)
            return list(self._parts(value, depth)) if word is None else [word]
        except Exception:  # a foreign object may raise anything when it is read
            return []

    def _parts(self, value: Any, depth: int) -> Iterator[str]:
        if isinstance(value, Tensor | np.ndarray):
            yield self._array(value)
        elif isinstance(value, nn.Module):
            yield from self._class(type(value), depth)
            yield from self._module(value, depth)
        elif isinstance(value, FunctionType):
            yield _name(value)
            yield from self._parameters(value, depth)
        elif isinstance(value, MethodType):
            yield _name(value.__func__)
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
            # Devices do not count, so a table keyed by device was left by a run.
            named = [(_key(key), inner) for key, inner in value.items() if not isinstance(key, torch.device)]
            yield from self._named(named, depth)
        elif isinstance(value, list | tuple | deque):
            yield from (self._digest(inner, depth) for inner in value)
        elif isinstance(value, set | frozenset):
            yield from sorted(_key(inner) for inner in value if not isinstance(inner, torch.device))
        elif not isinstance(value, ModuleType | CodeType | uuid.UUID):  # a UUID is new on every run
            name = getattr(value, "__qualname__", None)  # methods written in C
            yield name if isinstance(name, str) else ""
            yield from self._class(type(value), depth)
            yield from self._attributes(_slots(value) | getattr(value, "__dict__", {}), type(value), depth)

    def _named(self, entries: Iterable[tuple[str, Any]], depth: int) -> Iterator[str]:
        """Name and value together. Neutral values are left out: releases add parameters that do nothing."""
        for name, value in sorted(entries, key=lambda entry: entry[0]):
            if not _says_nothing(value):
                yield f"{name}={self._digest(value, depth)}"

    def _parameters(self, function: FunctionType, depth: int) -> Iterator[str]:
        """What a function was given: defaults, attributes, and the variables around it that no run writes."""
        yield self._digest(function.__defaults__, depth)
        yield self._digest(function.__kwdefaults__, depth)
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        values = [(name, _content(cell)) for name, cell in cells if id(cell) not in self._written]
        yield from self._named(values, depth)
        yield from self._attributes(vars(function), None, depth)

    def _attributes(self, attributes: dict[str, Any], cls: type | None, depth: int) -> Iterator[str]:
        left = set() if cls is None else self._set_by_calls(cls)
        kept = [(n, v) for n, v in attributes.items() if n not in left and (n == "__wrapped__" or n[:2] != "__")]
        yield from self._named(kept, depth)

    def _set_by_calls(self, cls: type) -> set[str]:
        """`_set_by_calls`, read once per class."""
        if cls not in self._run_sets:
            self._run_sets[cls] = _set_by_calls(cls)
        return self._run_sets[cls]

    def _class(self, cls: type, depth: int) -> Iterator[str]:
        """Names of a class and its bases. A class made inside a function counts by its bases and by what it closes over."""
        made = [base for base in cls.__mro__ if "<locals>" in base.__qualname__]
        named = [base.__name__ for base in cls.__mro__ if base not in made and base is not object]
        yield f"class={','.join(named or [base.__name__ for base in made])}"
        for base in made:
            for name, value in sorted(vars(base).items()):
                if not name.startswith("__") or (isinstance(value, FunctionType) and not name.startswith("__annot")):
                    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                    if not isinstance(function, FunctionType):
                        yield f"{name}={self._digest(value, depth)}"
                    elif parts := list(self._named(self._free(function), depth)):
                        yield f"{name}={_hashed(*parts)}"

    def _free(self, function: FunctionType) -> list[tuple[str, Any]]:
        """The variables that a method takes from the function in which its class was made, without the class itself."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        return [(n, _content(c)) for n, c in cells if n != "__class__" and id(c) not in self._written]

    def _module(self, module: nn.Module, depth: int) -> Iterator[str]:
        """Its parts by class and plain attributes, its weights by a sample, its buffers in full where they are small."""
        for path, part in module.named_modules():
            if path:
                yield f"{path}:{type(part).__name__}"
            left = self._set_by_calls(type(part))
            kept = [
                (f"{path}.{name}", value)
                for name, value in vars(part).items()
                if not name.startswith("_")
                and name not in left
                and not any(word in name for word in _OF_LOADING)
                and _is_plain(value)
            ]
            yield from self._named(kept, depth)
        for name, weight in module.named_parameters():
            yield f"{name}={self._known(weight) or _sample(weight, DIGEST_VALUES)}"
        for name, buffer in module.named_buffers():
            yield f"{name}={self._digest(buffer, depth)}"

    def _array(self, value: Tensor | np.ndarray[Any, Any]) -> str:
        shape, size = str(tuple(value.shape)), int(np.prod(value.shape))
        if size > self._values:
            value = value.reshape(-1)[:: -(-size // SAMPLED_VALUES)]
        else:
            self._values -= size
        return shape + _sample(value, 2**62)


def _name(function: Any) -> str:
    """A function's own name and that of the node or function that made it; names in between move with the code."""
    parts = str(function.__qualname__).split(".")
    return parts[0] if len(parts) == 1 else f"{parts[0]}.{parts[-1]}"


def _says_nothing(value: Any) -> bool:
    if value is None or value is False:
        return True
    if isinstance(value, dict | set | frozenset):
        return all(isinstance(key, torch.device) for key in value)  # left by a run: see `Contents._parts`
    return isinstance(value, str | bytes | list | tuple | deque) and not value


def _content(cell: Any) -> Any:
    """The value of a closure's variable; None where it is not yet set."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _written_cells(patches: Iterable[Any]) -> set[int]:
    """The ids of the variables that these functions, or functions within them, write when they run."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = deque(patches)
    while waiting and len(seen) < MOST_OBJECTS:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = type(value)  # not isinstance, which asks the object itself
        if kind is MethodType:
            waiting.extend([value.__func__, value.__self__])
        elif kind is functools.partial:
            waiting.extend([value.func, value.args, value.keywords])
        elif kind is dict:
            waiting.extend(value.values())
        elif kind in (list, tuple):
            waiting.extend(value)
        elif kind is FunctionType:
            cells = list(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
            written = _stores(value.__code__)
            found |= {id(cell) for name, cell in cells if name in written}
            waiting.extend(_content(cell) for _, cell in cells)
    return found


def _stores(code: CodeType) -> set[str]:
    """The outer variables that a function's code writes."""
    return {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_DEREF" and i.argval in code.co_freevars}


def _set_by_calls(cls: type) -> set[str]:
    """The attributes that a call of the object sets, directly or through its own methods."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = list(_CALLED)
    while waiting:
        name = waiting.pop()
        method = None if name in seen else _method(cls, name)
        seen.add(name)
        if method is not None:
            for step in dis.get_instructions(method.__code__):
                if step.opname == "STORE_ATTR":
                    found.add(str(step.argval))
                elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                    waiting.append(str(step.argval))
    return found


def _method(cls: type, name: str) -> FunctionType | None:
    for base in cls.__mro__:
        if base is nn.Module or base is object:
            return None
        if isinstance(found := vars(base).get(name), FunctionType):
            return found
    return None


def _sample(value: Tensor | np.ndarray[Any, Any], count: int) -> str:
    """Shape and at most `count` numbers of a tensor, in single precision."""
    shape = str(tuple(value.shape))
    try:
        tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
        return _hashed(shape, sample_values(tensor, count).astype("<f4").tobytes())
    except (RuntimeError, NotImplementedError, TypeError, ValueError):  # on the meta device, or a tensor subclass
        return _hashed(shape)


def _plain(value: Any) -> str | None:
    """A plain value in words; None for everything else. All devices are equal: the place of a value does not count."""
    if value is None or isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float, complex, bytes):
        if isinstance(value, kind):
            return f"{kind.__name__}:{kind.__repr__(value)}"
    return f"str:{value!s}" if isinstance(value, str | PurePath) else None


def _is_plain(value: Any, within: int = 3) -> bool:
    """Whether a module's attribute is read: plain values, tensors and containers of them, no objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return within > 0 and all(_is_plain(one, within - 1) for one in value)
    return isinstance(value, Tensor | np.ndarray | int) or _plain(value) is not None


def _key(value: Any) -> str:
    """A dict's key or a set's member: plain values and tuples of them, the rest by the name of their type."""
    if isinstance(value, tuple | frozenset):
        inner = [_key(one) for one in value]
        return _hashed(type(value).__name__, *(inner if isinstance(value, tuple) else sorted(inner)))
    plain = _plain(value)
    return _hashed(str(getattr(value, "__name__", type(value).__name__)) if plain is None else plain)


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
