"""The contract's list is whole: whatever the pack uses of ComfyUI's modules has an entry."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoe_core.hosts.comfyui.contract.entries import ENTRIES

ROOT = Path(__file__).resolve().parents[2]
HOSTED = ROOT / "emoe_core" / "hosts" / "comfyui"
STUBS = ROOT / "stubs"
FILES = [
    *sorted((ROOT / "nodes").glob("*.py")),
    *(p for p in sorted(HOSTED.rglob("*.py")) if HOSTED / "contract" not in p.parents),
]
HOST = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "latent_preview", "node_helpers")
LISTED = {use.partition("(")[0] for entry in ENTRIES for use in (*entry.uses, *entry.offered)}
#: The documented node API; of it the list has what the pack could not be loaded without.
DOCUMENTED = ("comfy_api.latest",)


def is_hosts(name: str) -> bool:
    return name.split(".")[0] in HOST


def chain(node: ast.expr) -> list[str]:
    """The names of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        before = chain(node.value)
        return [*before, node.attr] if before else []
    return []


def used(source: str) -> set[str]:
    """Dotted names of the host that a module uses, through its imports and through `name = comfy.module` within it."""
    tree = ast.parse(source)
    modules: set[str] = set()
    known: dict[str, str] = {}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                if is_hosts(one.name):
                    modules.add(one.name)
                    known[one.asname or one.name.split(".")[0]] = one.name if one.asname else one.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and is_hosts(node.module):
            for one in node.names:
                known[one.asname or one.name] = f"{node.module}.{one.name}"
                found.add(f"{node.module}.{one.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names = chain(node.value)
            if names and names[0] in known and ".".join(names) in modules:
                known[node.targets[0].id] = ".".join(names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (names := chain(node)) and names[0] in known:
            found.add(".".join([known[names[0]], *names[1:]]))
    # Of comfy.samplers.Sampler only the whole counts, not comfy.samplers; and a module says nothing by itself.
    return {one for one in found if one not in modules and not any(other.startswith(f"{one}.") for other in found)}


def missing(names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        covered = any(name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in LISTED)
        if not covered and not name.startswith(DOCUMENTED):
            yield name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_the_pack_uses_of_the_host_is_in_the_contract(path: Path) -> None:
    left = list(missing(used(path.read_text("utf-8"))))
    assert not left, f"emoe_core/hosts/comfyui/contract/entries.py has no entry with {', '.join(left)}"


def test_the_reader_sees_what_is_used() -> None:
    source = (
        "import comfy.sample\nimport folder_paths as f\nfrom comfy.ops import cast as c\nimport comfy.model_management\n"
        "management = comfy.model_management\nmanagement.soft(1)\ncomfy.sample.draw(2).x\nf.get()\nc.Linear()\nmath.pi"
    )
    assert used(source) == {
        "comfy.model_management.soft",
        "comfy.sample.draw",
        "folder_paths.get",
        "comfy.ops.cast.Linear",
    }
    assert len(set().union(*(used(path.read_text("utf-8")) for path in FILES))) > 60
    assert list(missing({"comfy.sample.draw", "comfy.sample.prepare_noise"})) == ["comfy.sample.draw"]


def named(stub: Path) -> Iterator[str]:
    """Dotted names that a stub declares; what only it needs begins with an underscore."""
    module = ".".join(stub.relative_to(STUBS).with_suffix("").parts)
    for node in ast.parse(stub.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name = node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        else:
            continue
        if not name.startswith("_"):
            yield f"{module}.{name}"


@pytest.mark.parametrize("stub", sorted(STUBS.rglob("*.pyi")), ids=lambda p: str(p.relative_to(STUBS)))
def test_the_stubs_name_nothing_that_the_contract_does_not(stub: Path) -> None:
    assert list(missing(set(named(stub)))) == []
