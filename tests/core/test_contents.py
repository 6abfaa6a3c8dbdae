"""Digests of what patches hold: other values, another digest; the same values, the same digest, in every process."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing import patches

from emoe_core.contents import MOST_OBJECTS, Contents

ROOT = Path(__file__).resolve().parents[2]
IN_A_PROCESS = """
import sys
sys.path.extend([sys.argv[1], sys.argv[1] + "/tests/support"])
from emoe_core.contents import Contents
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
    "constant": lambda n: eval(f"lambda h: h * {n}"),  # noqa: S307
    "name that is called": lambda n: eval(f"lambda h: h.call_{n}()"),  # noqa: S307
    "inner function": lambda n: eval(f"lambda h: (lambda q: q + {n})"),  # noqa: S307
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
    """A layer, a tensor of 64 GB, a long list, very many objects: each in a moment, and a later patch is still read."""
    layer = torch.nn.Linear(4096, 4096, bias=False)
    huge = torch.zeros(1).expand(2**34)  # takes no memory
    many = [[[i] for i in range(1000)] for _ in range(2 * MOST_OBJECTS // 1000)]
    before, contents = time.monotonic(), Contents()
    for thing in (layer, huge, list(range(10 * MOST_OBJECTS)), many):
        contents.digest(patches.holding(thing))
    assert time.monotonic() - before < 30
    assert contents.digest(patches.strength(1)) != contents.digest(patches.strength(2))
