"""Strict mypy over the nodes and `emoe_core`: `python -m emoe_host.mypy`.

ComfyUI loads the clone as one package, and the nodes import `..emoe_core`. mypy has to see it so too, but names a package by
its folder, and a clone's folder may have any name: links in the clone's `.cache` give it one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from . import ROOT

PACKAGE = "emoe"
FOLDER = ROOT / ".cache" / "package" / PACKAGE
_CHECKED = ("nodes", "emoe_core")


def link() -> None:
    """Make the links that are not there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", *_CHECKED):
        with contextlib.suppress(FileExistsError):
            to = os.path.relpath(ROOT / name, FOLDER)
            (FOLDER / name).symlink_to(to, target_is_directory=name in _CHECKED)


def main() -> int:
    try:
        link()
    except OSError as error:
        print(f"error: mypy needs links to the clone, and {FOLDER} cannot hold them ({error})", file=sys.stderr)
        return 1
    checked = [word for name in _CHECKED for word in ("-p", f"{PACKAGE}.{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "-m", PACKAGE, *checked],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(FOLDER.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout.replace(f"{FOLDER.relative_to(ROOT)}{os.sep}", ""), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
