"""Whether a commit is a release: its version differs from the one before, and all places agree on it.

For the workflow that publishes: it writes `publish=true` or `publish=false` to the file of GitHub's step outputs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import ROOT, HostError


def version_of(pyproject: str) -> str:
    """The project's version; only from its first table, since tools have versions too."""
    project = re.search(r"^\[project\]\n(.*?)(?=^\[)", pyproject, flags=re.MULTILINE | re.DOTALL)
    found = None if project is None else re.search(r"^version = \"([^\"]+)\"", project[1], flags=re.MULTILINE)
    if found is None:
        raise HostError("pyproject.toml has no version.")
    return found[1]


def check(root: Path, version: str) -> None:
    """A `HostError` if the package or the changelog lacks this version."""
    package = (root / "emoe_core" / "__init__.py").read_text("utf-8")
    if f'__version__ = "{version}"' not in package:
        raise HostError(f"pyproject.toml says version {version}, and emoe_core/__init__.py does not.")
    if f"## [{version}]" not in (root / "CHANGELOG.md").read_text("utf-8"):
        raise HostError(f"CHANGELOG.md has no heading [{version}]: say what is new before it is published.")


def version_at(root: Path, commit: str) -> str | None:
    """The version at a commit; None if there is no such commit."""
    shown = subprocess.run(["git", "show", f"{commit}:pyproject.toml"], cwd=root, capture_output=True, text=True)
    return version_of(shown.stdout) if shown.returncode == 0 else None


def is_release(root: Path, before: str) -> bool:
    """Whether the version differs from the one at the commit `before`; without that commit, it does.

    Raises:
        HostError: it differs, and the places that name the version do not agree.
    """
    version = version_of((root / "pyproject.toml").read_text("utf-8"))
    old = version_at(root, before) if before else None
    if version == old:
        return False
    check(root, version)
    return True


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/release.sh",
        description="Says whether this commit has another version than an earlier one, and whether that version can be "
        "published: emoe_core and the changelog must know it.",
    )
    parser.add_argument(
        "before", nargs="?", default="", help="the earlier commit; without one, the version counts as new"
    )
    args = parser.parse_args(argv)
    try:
        answer = f"publish={'true' if is_release(root, args.before) else 'false'}"
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(answer)
    if output := os.environ.get("GITHUB_OUTPUT"):
        with open(output, "a", encoding="utf-8") as file:
            file.write(f"{answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
