"""How a picture is stored."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def save_photo(photo: Image.Image, target: Path) -> None:
    """Writes a JPEG that goes into the package: its words can be read, and it is half as large as at quality 72."""
    photo.save(target, quality=42, optimize=True, progressive=True)


def save_small(photo: Image.Image, target: Path) -> None:
    """Writes a PNG with 256 colours."""
    photo.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).save(target, optimize=True)
