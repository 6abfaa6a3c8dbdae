"""The raw material: two npm packages and one Debian package, fetched by name with their own clients."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ..packages import ANNOTATIONS, EMOJIBASE, Package, archive, run

FONT = "fonts-noto-color-emoji"
FONT_VERSION = "2.042-0+deb12u1"
FONT_SHA256 = "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec"

LANGUAGES = ("en", "fr", "de", "es", "it", "fi", "pl", "sw", "ja", "tr", "vi", "hu", "ru", "zh")


@dataclass(frozen=True)
class Sources:
    """Paths of the unpacked raw material."""

    annotations: Path
    emojibase: Path
    font: Path
    cldr_licence: Path
    font_copyright: Path


def _npm(package: Package, members: tuple[str, ...], cache: Path) -> Path:
    """Unpacks the named members of an npm package; fetches it first if it is not in the cache."""
    fetched = archive(package, cache / "downloads")
    target = cache / "raw" / package.name
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(fetched) as tar:
            wanted = [m for m in tar.getmembers() if m.isfile() and m.name in members]
            tar.extractall(partial, members=wanted, filter="data")
        partial.rename(target)
    return target / "package"


def _font(cache: Path) -> Path:
    """Unpacks the Debian font package, without installing it."""
    downloads = cache / "downloads"
    target = cache / "raw" / FONT
    found = sorted(downloads.glob(f"{FONT}_*.deb"))
    if not found:
        run(["apt-get", "download", f"{FONT}={FONT_VERSION}"], downloads)
        found = sorted(downloads.glob(f"{FONT}_*.deb"))
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        run(["dpkg", "-x", str(found[0].resolve()), str(partial)], downloads)
        partial.rename(target)
    return target / "usr" / "share"


def prepare(cache: Path) -> Sources:
    """Fetches and unpacks everything that is missing from the cache, and checks the font."""
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    (cache / "raw").mkdir(parents=True, exist_ok=True)
    names = tuple(f"package/annotations/{lang}/annotations.json" for lang in LANGUAGES)
    cldr = _npm(ANNOTATIONS, (*names, "package/LICENSE"), cache)
    base = _npm(EMOJIBASE, ("package/en/data.json",), cache)
    share = _font(cache)
    sources = Sources(
        annotations=cldr / "annotations",
        emojibase=base / "en" / "data.json",
        font=share / "fonts" / "truetype" / "noto" / "NotoColorEmoji.ttf",
        cldr_licence=cldr / "LICENSE",
        font_copyright=share / "doc" / FONT / "copyright",
    )
    for path in vars(sources).values():
        if not path.exists():
            raise SystemExit(f"the training data is incomplete: {path} is missing")
    if hashlib.sha256(sources.font.read_bytes()).hexdigest() != FONT_SHA256:
        raise SystemExit(f"{sources.font} is not the font of {FONT} {FONT_VERSION}")
    return sources
