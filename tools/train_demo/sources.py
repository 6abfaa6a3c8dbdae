"""The raw material: two npm packages and one Debian package, fetched by name with their own clients."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ..packages import ANNOTATIONS, EMOJIBASE, Debian, Package, archive, unpacked

FONT = Debian(
    "fonts-noto-color-emoji", "2.042-0+deb12u1", "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751"
)
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


def prepare(cache: Path) -> Sources:
    """Fetches and unpacks everything that is missing from the cache, and checks the font."""
    (cache / "downloads").mkdir(parents=True, exist_ok=True)
    (cache / "raw").mkdir(parents=True, exist_ok=True)
    names = tuple(f"package/annotations/{lang}/annotations.json" for lang in LANGUAGES)
    cldr = _npm(ANNOTATIONS, (*names, "package/LICENSE"), cache)
    base = _npm(EMOJIBASE, ("package/en/data.json",), cache)
    share = unpacked(FONT, cache)
    sources = Sources(
        annotations=cldr / "annotations",
        emojibase=base / "en" / "data.json",
        font=share / "fonts" / "truetype" / "noto" / "NotoColorEmoji.ttf",
        cldr_licence=cldr / "LICENSE",
        font_copyright=share / "doc" / FONT.name / "copyright",
    )
    for path in vars(sources).values():
        if not path.exists():
            raise SystemExit(f"the training data is incomplete: {path} is missing")
    if hashlib.sha256(sources.font.read_bytes()).hexdigest() != FONT_SHA256:
        raise SystemExit(f"{sources.font} is not the font of {FONT.name} {FONT.version}")
    return sources
