"""How a picture is stored."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def save_small(photo: Image.Image, target: Path) -> None:
    """Writes a PNG with 256 colours."""
    photo.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).save(target, optimize=True)
