"""Packages of npm and Debian as raw material: fetched by name and version with their own clients.

What was fetched is checked against a known digest.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One version of an npm package.

    Attributes:
        integrity: SHA-512 of its archive as npm writes it, "sha512-" and base64.
    """

    name: str
    version: str
    integrity: str


@dataclass(frozen=True)
class Debian:
    """One version of a Debian package.

    Attributes:
        sha256: digest of its archive, as the archive's index tells it.
    """

    name: str
    version: str
    sha256: str


ANNOTATIONS = Package(
    "cldr-annotations-full",
    "48.2.0",
    "sha512-DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
)
LOCALE_NAMES = Package(
    "cldr-localenames-full",
    "48.2.0",
    "sha512-4o0paYDz0UXhfhChAVFkmVl2CP0YTSEqE6WrC0fNafaSC5u5DAXphxH3SZ1Ujczarikr8DToKZfiok6EqWLdNQ==",
)
CORE = Package(
    "cldr-core",
    "48.2.0",
    "sha512-zfmLothncSwfv2jlevoSrgI2VGgH8SDGHXst6jUEotHA8nq9Igeg9jzdJDFtBso9pgJuG89DK16TzrmZDdo2Bg==",
)
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)


def run(command: list[str], cwd: Path) -> None:
    """Runs an ordinary package client; an error shows the client's own message."""
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{command[0]} is not installed: it is needed to fetch the raw material")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def archive(package: Package, downloads: Path) -> Path:
    """The package's archive; fetched if it is missing, and refused if its digest differs."""
    downloads.mkdir(parents=True, exist_ok=True)
    path = downloads / f"{package.name.lstrip('@').replace('/', '-')}-{package.version}.tgz"  # as npm names it
    if not path.exists():
        run(["npm", "pack", f"{package.name}@{package.version}"], downloads)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise SystemExit(f"{path} is not {package.name} {package.version}: its digest differs; delete it and try again")
    return path


def unpacked(package: Debian, cache: Path) -> Path:
    """The package's `usr/share`, unpacked without installing it; fetched if it is missing, refused if its digest differs."""
    downloads, target = cache / "downloads", cache / "raw" / package.name
    if not target.exists():
        for folder in (downloads, target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if not list(downloads.glob(f"{package.name}_*.deb")):
            run(["apt-get", "download", f"{package.name}={package.version}"], downloads)
        path = min(downloads.glob(f"{package.name}_*.deb"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
            raise SystemExit(
                f"{path} is not {package.name} {package.version}: its digest differs; delete it and try again"
            )
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        run(["dpkg", "-x", str(path.resolve()), str(partial.resolve())], downloads)
        partial.rename(target)
    return target / "usr" / "share"


def members(package: Package, downloads: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Contents of the files with a wanted name (below the package's folder)."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive(package, downloads)) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            file = tar.extractfile(member) if member.isfile() and wanted(name) else None
            if file is not None:
                found[name] = file.read()
    return found
