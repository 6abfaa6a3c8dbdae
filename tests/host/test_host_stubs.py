"""The stubs that mypy reads take the arguments that the host at hand takes."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoe_core.hosts.comfyui.contract.entries import ENTRIES, Host, Missing

STUBS = Path(__file__).resolve().parents[2] / "stubs"
NEWER = {use.partition("(")[0] for entry in ENTRIES for use in entry.offered}


def declared(body: list[ast.stmt], within: str) -> Iterator[tuple[str, ast.arguments]]:
    """Dotted name and arguments of each function; what only the stubs need begins with an underscore."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from declared(node.body, f"{within}.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            yield f"{within}.{node.name}", node.args


def stubbed() -> Iterator[tuple[str, ast.arguments]]:
    for stub in sorted(STUBS.rglob("*.pyi")):
        module = ".".join(stub.relative_to(STUBS).with_suffix("").parts).removesuffix(".__init__")
        yield from declared(ast.parse(stub.read_text("utf-8")).body, module)


def differs(said: ast.arguments, host: inspect.Signature) -> bool:
    """Whether a call that fits the stub may not fit the host: by place the first ones in their order, the others by name."""
    takes = [name for name in host.parameters if name not in ("self", "cls")]
    by_place = [one.arg for one in said.args if one.arg not in ("self", "cls")]
    return takes[: len(by_place)] != by_place or not {one.arg for one in said.kwonlyargs} <= set(takes)


@pytest.mark.parametrize(("name", "said"), stubbed(), ids=lambda one: one if isinstance(one, str) else "")
def test_a_stub_takes_what_the_host_takes(name: str, said: ast.arguments, comfyui: Path) -> None:
    try:
        found = Host(comfyui).at(name)
    except Missing:
        assert name in NEWER
        return
    assert not differs(said, inspect.signature(found)), f"{name} takes {inspect.signature(found)}"


def test_a_stub_that_differs_is_seen() -> None:
    def host(self: object, one: int, two: int = 2, *, three: int = 3) -> None: ...

    for good in ("self", "self, one", "one, two, *, three", "self, *, two"):
        assert not differs(ast.parse(f"def f({good}): ...").body[0].args, inspect.signature(host))
    for bad in ("two", "one, three", "one, two, *, four"):
        assert differs(ast.parse(f"def f({bad}): ...").body[0].args, inspect.signature(host))
