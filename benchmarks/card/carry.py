"""Packs what the measurement on a graphics card needs into one folder, for a machine without a network.

    python benchmarks/card/carry.py FOLDER --comfyui TREE [TREE ...] [--python 3.12]

The folder then holds each ComfyUI tree as an archive and the wheels that a machine with PyTorch for CUDA and the usual
packages of science lacks. Together with the clone it stays under 60 MB. Left out are what no measured graph touches: the
frontend, `av` (video), `kornia` and `spandrel` (a few image nodes), and the CUDA kernels of comfy-kitchen, whose wheel
without them is taken.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60e6
#: Of a ComfyUI tree; the rest is for people.
KEPT = (
    *(
        "comfy",
        "comfy_api",
        "comfy_config",
        "comfy_execution",
        "comfy_extras",
        "api_server",
        "app",
        "middleware",
        "utils",
    ),
    *("alembic_db", "alembic.ini", "requirements.txt", "custom_nodes"),
)
WHEELS = (
    *(
        "torchsde",
        "trampoline",
        "pydantic",
        "pydantic-settings",
        "python-dotenv",
        "annotated-types",
        "typing-inspection",
    ),
    *("alembic", "sqlalchemy", "mako", "simpleeval", "blake3"),
)
PINNED = ("comfy-kitchen", "comfy-aimdo")
WITHOUT_KERNELS = ("comfy-kitchen", "sqlalchemy")
GLIBC = ("2_28", "2_27", "2_24", "2_17")


def version(tree: Path) -> str:
    found = re.search(r'__version__ = "(.+?)"', (tree / "comfyui_version.py").read_text(encoding="utf-8"))
    assert found, tree
    return found[1]


def pack_tree(tree: Path, folder: Path) -> None:
    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if "__pycache__" in member.name else member

    with tarfile.open(folder / f"comfyui-{version(tree)}.tar.xz", "w:xz") as archive:
        for path in sorted(tree.iterdir()):
            if path.name in KEPT or path.suffix == ".py":
                archive.add(path, path.name, filter=wanted)


def download(folder: Path, requirement: str, python: str) -> None:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    name = re.split("[=<>~]", requirement)[0].lower()
    target = ["--platform", "any"]
    if name not in WITHOUT_KERNELS:
        machines = [f"manylinux_{glibc}_x86_64" for glibc in GLIBC] + ["manylinux2014_x86_64"]
        target = ["--implementation", "cp", *(part for machine in machines for part in ("--platform", machine))]
    subprocess.run([*pip, "--python-version", python, *target, requirement], check=True)


def core_of(wheels: Path) -> str:
    """pydantic-core in the one version that the wheel of pydantic works with."""
    import zipfile

    (wheel,) = wheels.glob("pydantic-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        metadata = next(name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        found = re.search(r"^Requires-Dist: (pydantic-core==[\w.]+)", opened.read(metadata).decode(), re.MULTILINE)
    assert found, wheel
    return found[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--comfyui", type=Path, nargs="+", required=True, metavar="TREE")
    parser.add_argument("--python", default="3.12", help="the Python of the machine with the card (default 3.12)")
    options = parser.parse_args()
    wheels = options.folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    pinned: dict[str, str] = {}
    for tree in options.comfyui:
        pack_tree(tree, options.folder)
        lines = (tree / "requirements.txt").read_text(encoding="utf-8").split()
        pinned |= {name: line for name in PINNED for line in lines if line.startswith(name)}
    for requirement in (*WHEELS, *pinned.values()):
        download(wheels, requirement, options.python)
    download(wheels, core_of(wheels), options.python)
    carried = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    clone = sum((ROOT / name).stat().st_size for name in listed.split("\0") if name)
    print(
        f"{carried / 1e6:.1f} MB to carry, {clone / 1e6:.1f} MB of the clone, {(carried + clone) / 1e6:.1f} MB together"
    )
    if carried + clone > LIMIT:
        print(f"error: more than {LIMIT / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
