"""The house rules: arrows point down only, nothing executes text, nothing heavy is required."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = sorted((ROOT / "emoe_core").rglob("*.py"))
PACK = [ROOT / "__init__.py", *CORE, *sorted((ROOT / "nodes").rglob("*.py"))]
HOST_MODULES = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "server", "nodes", "execution"}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports absolutely, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def rooms_above(path: Path) -> set[str]:
    """What a file of emoe_core reaches by going up out of it."""
    depth = len(path.relative_to(ROOT / "emoe_core").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level > depth}


#: The rooms of emoe_core, from the bottom up: each may import from those before it.
ROOMS = (
    *("errors", "io", "stats", "charts", "prompts", "records", "pages", "experts", "scoring", "gating", "show"),
    *("mixture", "demo", "remote", "batch", "audit", "ledger", "trial", "choosing", "hosts", "cli", "__main__"),
)
#: The rooms of the ComfyUI host; what serves one node each lies beside them, above all but the contract.
COMFYUI_ROOMS = ("experts", "prompts", "mixture", "scoring", "", "contract")


def arrows(path: Path, top: Path = ROOT / "emoe_core") -> set[tuple[str, ...]]:
    """The modules below `top` that a file there imports, inside functions too, as parts of their names."""
    here = path.relative_to(top).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1] + tuple((node.module or "").split(".") if node.module else ())
            found |= {(*base, alias.name) for alias in node.names}
    return found


def comfyui_room(parts: tuple[str, ...]) -> str:
    """The room of a module under hosts/comfyui, "" for what lies beside the rooms."""
    return parts[2] if len(parts) > 2 and parts[2] in COMFYUI_ROOMS else ""


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_room_imports_from_those_below_it(path: Path) -> None:
    where = path.relative_to(ROOT / "emoe_core").with_suffix("").parts
    if where == ("__init__",):
        assert not arrows(path)
        return
    above = ROOMS[ROOMS.index(where[0]) + 1 :]
    assert not [arrow for arrow in arrows(path) if arrow[0] in above]
    if where[:2] == ("hosts", "comfyui"):
        inner = COMFYUI_ROOMS[COMFYUI_ROOMS.index(comfyui_room(where)) + 1 :]
        assert not [
            a for a in arrows(path) if a[:2] == ("hosts", "comfyui") and len(a) > 2 and comfyui_room(a) in inner
        ]
    assert not [
        arrow for arrow in arrows(path) if arrow[:1] == ("hosts",) and arrow[1:2] != where[1:2] and where[0] == "hosts"
    ]


def rooms_used() -> dict[str, set[str]]:
    """The rooms that each room imports from, `errors` aside; each host is a room, and so are the nodes."""

    def room(parts: tuple[str, ...]) -> str:
        return "/".join(parts[:2]) if parts[0] == "hosts" and len(parts) > 1 else parts[0]

    found: dict[str, set[str]] = {}
    for path in CORE:
        parts = path.relative_to(ROOT / "emoe_core").with_suffix("").parts
        if parts[0] not in ("__init__", "__main__", "errors"):
            found.setdefault(room(parts), set()).update(room(a) for a in arrows(path) if a[0] in ROOMS)
    for path in (ROOT / "nodes").rglob("*.py"):
        used = (arrow[1:] for arrow in arrows(path, ROOT) if arrow[0] == "emoe_core")
        found.setdefault("nodes", set()).update(room(arrow) for arrow in used)
    return {name: used - {name, "errors"} for name, used in found.items()}


def picture() -> str:
    """The rooms as a Mermaid graph; an arrow that follows from others is left out."""
    used = rooms_used()

    def reached(room: str) -> set[str]:
        return used[room] | {further for other in used[room] for further in reached(other)}

    drawn = []
    for room in sorted(used, key=lambda name: -len(reached(name))):
        plain = used[room] - {further for other in used[room] for further in reached(other)}
        drawn += [f"    {room} --> {other}" for other in sorted(plain)]
    return "\n".join(["```mermaid", "graph TD", *drawn, "```"])


def test_the_picture_of_the_rooms_is_that_of_the_code() -> None:
    """After a change of arrows, put what this asks for into CONTRIBUTING.md."""
    assert picture() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), picture()


def test_nothing_lies_beside_the_rooms() -> None:
    loose = {path.stem for path in (ROOT / "emoe_core").glob("*.py")}
    assert loose == {"__init__", "__main__", "errors"}
    rooms = {path.name for path in (ROOT / "emoe_core").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ROOMS) - loose


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_knows_no_host_outside_its_edge(path: Path) -> None:
    where = path.relative_to(ROOT / "emoe_core").parts
    allowed = {"comfyui": HOST_MODULES, "diffusers": {"diffusers"}}.get(
        where[1] if where[0] == "hosts" and len(where) > 1 else "", set()
    )
    assert not imported(path) & ((HOST_MODULES | {"diffusers"}) - allowed)
    assert not rooms_above(path)


def test_importing_the_core_brings_neither_host_nor_its_libraries() -> None:
    """Every module outside `hosts`, in a Python of its own: what they import by a detour shows there."""
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in CORE
        if "hosts" not in path.parts and path.name != "__main__.py"
    )
    code = f"""
import importlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("emoe_core", {str(ROOT / "emoe_core" / "__init__.py")!r},
                                              submodule_search_locations=[{str(ROOT / "emoe_core")!r}])
sys.modules["emoe_core"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{name.split(".")[0] for name in sys.modules}} & {{"diffusers", "transformers", "comfy", "nodes", "segmoe"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("path", PACK, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unsafe_and_no_extra_dependency(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    assert not imported(path) & {
        "subprocess",
        "pip",
        "requests",
        "urllib",
        "socket",
        "marshal",
        "shelve",
        "huggingface_hub",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "nodes").rglob("*.py")), ids=lambda p: p.name)
def test_nodes_leave_the_hosts_models_to_the_edge(path: Path) -> None:
    assert not imported(path) & {"comfy", "folder_paths", "server", "nodes"}


def test_the_root_imports_nothing_before_comfyui_asks() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert not [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert "NODE_CLASS_MAPPINGS" not in (ROOT / "__init__.py").read_text(encoding="utf-8")
