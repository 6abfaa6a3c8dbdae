"""What a change can touch: which parts of the test command to run for it, and which files of each tier.

A module touches the tests that import it, directly or through other modules. Tests inside ComfyUI reach modules as
attributes (`pack.emoe_core.gating.gate`) and nodes by their ids, so these are read too. Whatever is no module touches the
tests that name it, and the tiers that `TIERS_OF` lists. Where that leaves a doubt, more is run rather than less.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from . import ROOT, HostError

#: The compared branch where none is named: the first of these that there is.
MAIN = ("origin/main", "main")
TIERS = ("core", "project", "host", "server", "browser")
GRAPHS = ("project", "server", "browser")
#: Tiers that run whole, by how a changed path starts; the longest start counts, and all tiers run for what is not listed.
TIERS_OF: dict[str, tuple[str, ...]] = {
    "__init__.py": ("host", "server", "browser"),
    "nodes/": ("server",),
    "emoe_core/": (),
    "emoe_core/hosts/comfyui/": ("server",),
    "emoe_core/remote/": ("server",),
    "web/": ("browser",),
    "web/docs/": ("project",),
    "locales/": ("browser",),
    "example_workflows/": GRAPHS,
    "subgraphs/": GRAPHS,
    "tests/": TIERS,
    **{f"tests/{tier}/": (tier,) for tier in TIERS},
    **dict.fromkeys(("docs/", "scripts/", "benchmarks/", "tools/", ".github/", ".comfyignore"), ("project",)),
    **dict.fromkeys(("README", "CHANGELOG", "CONTRIBUTING", "LICENSE", ".gitignore", ".pre-commit"), ("project",)),
}
LINTED = (".py", ".js", ".cjs", ".ts", ".toml")
#: Where the modules of an import lie that begins with this name.
PACKAGES = {"emoe_core": "emoe_core", "emoe_host": "scripts/emoe_host", "emoe_testing": "tests/support/emoe_testing"}
#: Host tests keep these in a fixture and name what lies in them.
HOSTS = ("emoe_core/hosts/comfyui", "emoe_core/hosts/diffusers")


def git(root: Path, *arguments: str) -> list[str]:
    """The output of a git command, in the pieces that NULs or lines part."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise HostError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return [piece for piece in re.split("[\0\n]", done.stdout) if piece]


def changed_files(ref: str = "", root: Path = ROOT) -> list[str]:
    """Paths that differ from where this branch left `ref`: committed, uncommitted, deleted and untracked ones."""
    if not ref:
        named = git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes")
        ref = next((name for name in MAIN if name in named), "")
        if not ref:
            raise HostError(f"there is no {' and no '.join(MAIN)} to compare with; name a ref: --changed REF.")
    (base,) = git(root, "merge-base", "HEAD", ref)
    differ = git(root, "diff", "--name-only", "--no-renames", "-z", base)
    return sorted({*differ, *git(root, "ls-files", "--others", "--exclude-standard", "-z")})


@dataclass
class Choice:
    """What to run: for each part the paths that pytest gets (none for lint), and the changed files that it is run for."""

    paths: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def choose(changed: Sequence[str], tree: Tree | None = None) -> Choice:
    """The parts and test files that these changed paths can touch."""
    tree, choice = tree or Tree(ROOT, changed), Choice()
    if linted := [path for path in changed if path.endswith(LINTED)]:
        choice.paths["lint"] = []
        choice.lines.append(f"lint: for {_few(linted)}")
    causes: dict[str, list[str]] = {}
    for path in changed:
        for test in tree.touched(path):
            causes.setdefault(test, []).append(path)
    for tier in TIERS:
        every = [test for test in tree.tests if test.startswith(f"tests/{tier}/")]
        if files := [test for test in every if test in causes]:
            choice.paths[tier] = [f"tests/{tier}"] if files == every else files
            because = list(dict.fromkeys(path for test in files for path in causes[test]))
            choice.lines.append(f"{tier}: {len(files)} of {len(every)} test files, for {_few(because)}")
    return choice


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


class Tree:
    """The project's Python files, and what each of them uses."""

    def __init__(self, root: Path = ROOT, changed: Iterable[str] = ()) -> None:
        """`changed` may name files that are gone: what still uses them is found too."""
        self.root = root
        folders = ("emoe_core", "nodes", "scripts", "tests")
        self.here = {path.relative_to(root).as_posix() for folder in folders for path in (root / folder).rglob("*.py")}
        self.files = self.here | {path for path in changed if path.endswith(".py")}
        self.tests = sorted(path for path in self.here if re.fullmatch(r"tests/\w+/test_\w+\.py", path))
        self.syntax = cache(self._syntax)
        self.words = cache(self._words)
        self.uses = cache(self._uses)
        self.reach = cache(self._reach)

    def touched(self, path: str) -> set[str]:
        """The test files that a changed path can touch."""
        is_python = path.endswith(".py")
        module = path if is_python else self._package_of(path)
        found = {test for test in self.tests if module in self.reach(test) or self._names(test, path)}
        start = max((start for start in TIERS_OF if path.startswith(start)), key=len, default="")
        tiers = TIERS_OF.get(start, TIERS)
        if is_python and path.startswith("tests/") and (found or path not in self.here):
            tiers = ()  # a test, or a helper of those that import it
        elif is_python and path.startswith("emoe_core/") and path in self.here and not found:
            tiers = (*tiers, "core")
        return found | {test for test in self.tests if test.split("/")[1] in tiers}

    def _package_of(self, path: str) -> str:
        """Data belongs to the package that it lies in."""
        folders = (f"{folder}/__init__.py" for folder in PurePosixPath(path).parents)
        return next((module for module in folders if module in self.files), "")

    def _names(self, test: str, path: str) -> bool:
        """Whether a test's texts name the file, or the folder at the root that it lies in."""
        top, *rest = path.split("/")
        words, name = self.words(test), path.rsplit("/", 1)[-1]
        if not path.endswith(".py") and any(word == name or word.endswith(f"/{name}") for word in words):
            return True
        if top == "tests" or top not in words:
            return False
        # Tests with a server name the pack for its commands only, as in `-m emoe_core batch`.
        return not test.startswith(("tests/server/", "tests/browser/")) or (bool(rest) and rest[0] in words)

    # --- what a file uses ---------------------------------------------------------------------------------

    def _syntax(self, path: str) -> ast.Module:
        return ast.parse((self.root / path).read_text("utf-8") if path in self.here else "")

    def _words(self, path: str) -> frozenset[str]:
        nodes = ast.walk(self.syntax(path))
        return frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))

    def _reach(self, path: str) -> frozenset[str]:
        """The file, what it uses, and what that uses."""
        found, waiting = {path}, [path]
        while waiting:
            new = self.uses(waiting.pop()) - found
            found |= new
            waiting += new
        return frozenset(found)

    def _uses(self, path: str) -> frozenset[str]:
        found: set[str] = set()
        for node in ast.walk(self.syntax(path)):
            if isinstance(node, ast.ImportFrom):
                names = node.module.split(".") if node.module else []
                above = PurePosixPath(path).parts[: -node.level] if node.level else ()
                for alias in node.names:
                    name = [*names, alias.name]
                    found.update(self._within("/".join(above), name) if node.level else self._absolute(name))
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    found.update(self._absolute(alias.name.split(".")))
            elif isinstance(node, ast.Attribute) and path.startswith("tests/"):
                found.update(self._attribute(_chain(node)))
        if path.startswith("tests/"):
            for word in self.words(path):
                for dotted in re.findall(r"\bemoe_core(?:\.\w+)+", word):
                    found.update(self._absolute(dotted.split(".")))
            found |= self._nodes(path)
        if path in self.tests:
            found |= {f"{path.rsplit('/', 1)[0]}/conftest.py", "tests/conftest.py"} & self.files
        return frozenset(found)

    def _absolute(self, names: Sequence[str]) -> Iterator[str]:
        if names and names[0] in PACKAGES:
            yield from {f"{PACKAGES[names[0]]}/__init__.py"} & self.files
            yield from self._within(PACKAGES[names[0]], names[1:])

    def _within(self, folder: str, names: Sequence[str]) -> Iterator[str]:
        """The files that are run where these names, one inside the other, are imported from a folder."""
        for name in names:
            folder = f"{folder}/{name}".lstrip("/")
            yield from {f"{folder}.py", f"{folder}/__init__.py"} & self.files

    def _attribute(self, names: Sequence[str]) -> Iterator[str]:
        for place in range(1, len(names)):
            rest = names[place:]
            if rest[0] == "emoe_core":
                yield from self._absolute(rest)
            elif rest[0] == "nodes":
                yield from self._within("", rest)
            for host in HOSTS:
                yield from self._within(host, rest)

    def _nodes(self, path: str) -> set[str]:
        """The nodes that a test takes from the fixture `node_classes`: those it names, or all."""
        every = {file for file in self.files if file.startswith("nodes/")}
        nodes = list(ast.walk(self.syntax(path)))
        asked = [n for n in nodes if isinstance(n, ast.Name) and n.id == "node_classes"]
        named = [
            n.slice.value
            for n in nodes
            if isinstance(n, ast.Subscript) and n.value in asked and isinstance(n.slice, ast.Constant)
        ]
        if len(named) < len(asked):
            return every
        return {file for file in every if any(name in self.words(file) for name in named)}


def _chain(node: ast.expr) -> list[str]:
    """The names of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Name):
        return [node.id]
    before = _chain(node.value) if isinstance(node, ast.Attribute) else []
    return [*before, node.attr] if before and isinstance(node, ast.Attribute) else []
