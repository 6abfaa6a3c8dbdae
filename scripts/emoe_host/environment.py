"""Makes a Python environment for a ComfyUI tree: the tree's requirements, and the tests' further packages.

The tree's own requirements are taken as it states them, because its users have those. The tools and the other packages
of requirements/test.in come in the versions of the lock.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import HostError
from .prepare import LOCK, comfyui_version, run_logged, say, venv_python

SOURCE = LOCK.with_name("test.in")


def name_of(line: str) -> str:
    """The package that a line of a requirements file names, in the form for comparing names; "" for none."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line.split("#")[0])
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def names(text: str) -> list[str]:
    """The packages of a requirements file, in order."""
    return [name for line in text.splitlines() if (name := name_of(line))]


def beside(tree: str, wanted: str, lock: str) -> list[str]:
    """Requirements that are wanted and that the tree does not mention, in the lock's versions."""
    pinned = {name_of(line): line.strip() for line in lock.splitlines() if name_of(line)}
    own = set(names(tree))
    return [pinned.get(name, name) for name in names(wanted) if name not in own]


def make(tree: Path, folder: Path) -> Path:
    """The environment in `folder`, made or updated; returns its Python."""
    version = comfyui_version(tree)
    own = (tree / "requirements.txt").read_text("utf-8")
    more = "\n".join(beside(own, SOURCE.read_text("utf-8"), LOCK.read_text("utf-8"))) + "\n"
    python, marker = venv_python(folder), folder / "emoe.ready"
    state = hashlib.sha256(f"{own}\n{more}".encode()).hexdigest()
    if marker.is_file() and marker.read_text() == state and python.exists():
        return python
    say(f"preparing a Python environment for ComfyUI {version} in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "prepare.log"
    if not python.exists():
        run_logged(
            [sys.executable, "-m", "venv", str(folder)], log, f"making a virtual environment with {sys.executable}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "beside.txt"
        file.write_text(more, "utf-8")
        pip = [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check", "install", "--prefer-binary"]
        run_logged(
            [*pip, "-r", str(tree / "requirements.txt"), "-r", str(file)], log, "installing the packages with pip"
        )
    run_logged(
        [str(python), "-c", "import torch, torchvision, transformers, aiohttp, pytest"],
        log,
        "importing what was installed",
    )
    marker.write_text(state)
    return python


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/environment.sh",
        description="Makes a Python environment for a ComfyUI of your own, with what the demo and the tests need, and prints "
        "the path of its Python: EMOE_PYTHON for demo.sh and test.sh, with COMFYUI_PATH naming the tree.",
    )
    parser.add_argument("tree", type=Path, help="ComfyUI's folder")
    parser.add_argument("folder", type=Path, help="where the environment goes; one that is up to date is left as it is")
    args = parser.parse_args(argv)
    try:
        print(make(args.tree.resolve(), args.folder.absolute()))
    except (HostError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
