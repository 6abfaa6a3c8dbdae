"""Judges of a trial's pictures that need ComfyUI's own objects. See `emoe_core.trial.judges`."""

from collections.abc import Callable

from PIL.Image import Image

from ....trial.store import Picture

#: Opens a picture, or raises `NoPicture`.
See = Callable[[Picture], Image]
