"""A Python and ComfyUI trees on the machine with the card, made from the folder that `carry.py` packed."""

from __future__ import annotations

import site
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

from emoe_host.prepare import Host, comfyui_version

#: `av` reads and writes video; ComfyUI imports it at its start, and no measured graph uses it. This stands in its place.
ABSENT = '''"""Stands where PyAV would: its names can be imported, and nothing of it works."""


class _Names(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Absent,), {})


class _Absent(metaclass=_Names):
    def __init__(self, *_, **__):
        raise RuntimeError("PyAV is not installed on this machine")


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (_Absent,), {})
'''
ABSENT_MODULES = (
    "container",
    "subtitles/stream",
    "video/reformatter",
    "video/stream",
    "audio/stream",
    "codec",
    "error",
)


def prepare(carried: Path, work: Path) -> list[Host]:
    """Unpacks what was carried into `work`; one Host per tree, the newest first."""
    python = make_python(carried / "wheels", work)
    page = work / "frontend"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html><title>ComfyUI</title>", encoding="utf-8")
    return sorted(unpacked(carried, work, python), key=lambda host: _number(host.version), reverse=True)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def unpacked(carried: Path, work: Path, python: Path) -> Iterator[Host]:
    for archive in sorted(carried.glob("comfyui-*.tar.xz")):
        tree = work / archive.name.removesuffix(".tar.xz")
        with tarfile.open(archive) as opened:
            opened.extractall(tree, filter="data")
        yield Host(tree, python, comfyui_version(tree), "carried along")


def make_python(wheels: Path, work: Path) -> Path:
    """This Python with the carried wheels before its own packages, as a Python of its own: servers are started with it."""
    packages = work / "packages"
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(packages)
    (packages / "av").mkdir()
    (packages / "av" / "__init__.py").write_text(ABSENT, encoding="utf-8")
    for name in ABSENT_MODULES:
        path = packages / "av" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        for place in (path.parent / "__init__.py", path):
            place.write_text(ABSENT, encoding="utf-8")
    made = work / "python"
    venv.create(made, symlinks=True, with_pip=False)
    (lib,) = made.glob("lib/python*/site-packages")
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (lib / "carried.pth").write_text("\n".join(map(str, [packages, *sorted(here)])) + "\n", encoding="utf-8")
    return made / "bin" / Path(sys.executable).name
