"""Digests of what patches hold: other values, another digest; the same values, the same digest, in every process."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing import patches

from emoe_core.experts.contents import MOST_OBJECTS, Contents

ROOT = Path(__file__).resolve().parents[2]
IN_A_PROCESS = """
import sys
sys.path.extend([sys.argv[1], sys.argv[1] + "/tests/support"])
from emoe_core.experts.contents import Contents
from emoe_testing import patches
made = [patches.words({"sun", "moon", "star"}), patches.table({"b": 1, "a": 2}), patches.Picture(1), patches.hostile()]
print([Contents().digest(one) for one in made])
"""


def digest(value: Any) -> str:
    return Contents().digest(value)


def local_class(amount: float) -> Any:
    class Sampling(patches.Picture):
        @property
        def shift(self) -> float:
            return amount

    return Sampling(0)


def with_attribute(amount: float) -> Callable[..., Any]:
    made = patches.holding(None)
    made.amount = amount  # type: ignore[attr-defined]
    return made


class Slotted:
    __slots__ = ("amount", "unset")

    def __init__(self, amount: float) -> None:
        self.amount = amount


def mask(marked: int) -> torch.Tensor:
    """One value of a whole picture is another."""
    made = torch.zeros(512, 512)
    made.view(-1)[marked] = 1
    return made


MAKERS: dict[str, Callable[[Any], Any]] = {
    "closure": patches.strength,
    "closure within closure": lambda n: patches.holding(patches.strength(n)),
    "partial": lambda n: functools.partial(patches.holding, thing=[n]),
    "bound method": lambda n: patches.Picture(n).method,
    "object": patches.Picture,
    "class made in a function": local_class,
    "function's attribute": with_attribute,
    "default": lambda n: eval(f"lambda h, amount={n}: h"),  # noqa: S307
    "keyword default": lambda n: eval(f"lambda h, *, amount={n}: h"),  # noqa: S307
    "slots": Slotted,
    "module": patches.Layers,
    "module's number": lambda n: patches.Layers(0, n),
    "array": lambda n: np.arange(6).reshape(2, 3) + n,
    "complex": lambda n: torch.tensor([1 + n * 1j]),
    "one value of a mask": lambda n: mask(100_000 + n),
    "shape": lambda n: torch.zeros(n, 6 // n),
    "dtype": lambda n: [None, torch.float16, torch.bfloat16][n],
    "set": lambda n: {"a", str(n), (1, n)},
    "cycle": lambda n: (made := [n], made.append(made))[0],
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_values_count_and_objects_do_not(make: Callable[[Any], Any]) -> None:
    assert digest(make(1)) == digest(make(1)) != digest(make(2))


REWRITTEN = """
class Node:
    def patch(self, b, s):
        seen = {}
        %s
        def output(h, skip, options):
            seen[h.device] = True
            return %s
        return output
    execute = patch
made = Node().%s(1.5, 0.5)
"""


def test_code_does_not_count_and_what_a_release_adds_without_effect_neither() -> None:
    """A node pack that moves and rewrites its code, and gives a patch one more parameter that does nothing."""
    found = []
    for code in (
        REWRITTEN % ("", "h * b + s", "patch"),
        REWRITTEN.replace("def patch", "def run").replace("= patch", "= run")
        % ("more, names = False, []", "(h * b) + s if more or names or True else h", "execute"),
        REWRITTEN % ("more = True", "h * b + s if more else h", "patch"),
        REWRITTEN.replace("class Node", "class Other").replace("Node()", "Other()") % ("", "h * b + s", "patch"),
    ):
        space: dict[str, Any] = {}
        exec(compile(code, "node.py", "exec"), space)  # noqa: S102
        found.append(digest(space["made"]))
    assert found[0] == found[1] and len(set(found)) == 3


def counting(start: int, weight: float) -> list[Callable[..., Any]]:
    """Two patches that share a variable: one writes it, the other reads it."""
    last: Any = None
    lies: dict[Any, Any] = {}

    def write(h: Any, options: Any) -> Any:
        nonlocal last
        last = h
        lies[torch.device("cpu")] = 1
        return h * weight

    def read(h: Any, options: Any) -> Any:
        return (h, last, start)

    return [write, read]


class Adapter:
    """An object that keeps what it last saw, by a method of its own, and a strength that its maker sets afterwards."""

    def __init__(self) -> None:
        self.seen: Any = None
        self.strength = 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, h: Any, options: Any) -> Any:
        self._note(h)
        return h * self.strength

    def _note(self, h: Any) -> None:
        self.seen = h


def test_what_a_run_leaves_behind_does_not_count() -> None:
    def whole(patches: Any) -> list[str]:
        contents = Contents(patches=patches)
        return [contents.digest(patch) for patch in patches]

    ran, adapter = counting(1, 0.5), Adapter()
    before = whole(ran), digest(adapter)
    for patch in (*ran, adapter):
        patch(torch.ones(2), {})
    assert (whole(ran), digest(adapter)) == before
    assert whole(counting(1, 0.6))[0] != before[0][0] and whole(counting(2, 0.5))[1] != before[0][1]
    adapter.set_strength(2.0)
    assert digest(adapter) != before[1]


def test_beside_another_object_only_what_differs_counts() -> None:
    own, patch = patches.Layers(0, 1.0), patches.Layers(0, 2.0)
    for one in (own, patch):
        one.added = 3  # type: ignore[assignment]  # by a newer host, on both
    known, plain = Contents(), patches.Layers(0, 2.0)
    assert known.beside(patch, own) == Contents().beside(plain, patches.Layers(0, 1.0)) != ""
    parts = {id(part) for part in (own, *own.modules(), *own.parameters(), *own.buffers())}
    named = Contents(lambda value: "own" if id(value) in parts else None)  # as a host knows its model's parts
    assert named.beside(patch, own) == known.beside(patch, own)
    assert Contents().beside(own, patches.Layers(0, 1.0)) != "" and Contents().beside(own, own) == ""
    assert Contents().beside(torch.float16, torch.float32) != Contents().beside(torch.bfloat16, torch.float32)


def test_the_order_of_a_dict_and_the_device_do_not_count() -> None:
    assert digest(patches.table({"a": 1, 2: [3]})) == digest(patches.table({2: [3], "a": 1}))
    assert digest([torch.device("cpu"), {torch.device("cpu"): 1}]) == digest(
        [torch.device("meta"), {torch.device("cuda"): 1}]
    )


def test_shared_objects_count_as_their_copies() -> None:
    shared, apart = [1, 2], ([1, 2], [1, 2])
    assert digest([shared, shared]) == digest(list(apart))


def test_a_module_counts_by_what_it_is_and_not_by_where_its_file_lies() -> None:
    code = (
        "def patch(h, amount=2):\n    return helper(h) * amount\ndef helper(h):\n    return h\nclass Patch:\n    a = 1"
    )
    found = []
    for path in ("one/custom_nodes/pack", "two/custom_nodes/pack"):
        module = ModuleType(path)
        exec(compile(code, f"{path}.py", "exec"), module.__dict__)  # noqa: S102
        found.append(digest([module.patch, module.Patch(), module.Patch, module]))
    assert found[0] == found[1]


def test_every_process_gives_one_digest() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, str(ROOT)],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and len(set(eval(said.pop()))) == 4  # noqa: S307


def test_what_cannot_be_read_counts_by_its_type() -> None:
    assert digest(patches.hostile()) == digest(patches.hostile()) != digest(patches.holding(None))


def test_what_the_caller_knows_is_not_looked_into() -> None:
    known = Contents(lambda value: "own" if isinstance(value, patches.Picture) else None)
    assert known.digest(patches.holding(patches.Picture(1))) == known.digest(patches.holding(patches.Picture(2)))


def test_large_things_are_read_in_part() -> None:
    """A layer, a tensor of 64 GB, a long list, very many objects: no more is looked at, and a later patch is still read."""
    layer = torch.nn.Linear(4096, 4096, bias=False)
    huge = torch.zeros(1).expand(2**34)  # takes no memory
    many = [[[i] for i in range(1000)] for _ in range(2 * MOST_OBJECTS // 1000)]
    met: list[None] = []
    contents = Contents(lambda value: met.append(None))
    for thing in (layer, huge, list(range(10 * MOST_OBJECTS)), many):
        met.clear()
        contents.digest(patches.holding(thing))
        assert 0 < len(met) <= MOST_OBJECTS
    assert contents.digest(patches.strength(1)) != contents.digest(patches.strength(2))
