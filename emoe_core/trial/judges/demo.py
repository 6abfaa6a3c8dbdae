"""The judge `demo`: whether a picture of the demo experts is the one that its prompt names.

The criterion is that of docs/validity.md: a picture is bad if it is nearer to some other thing's picture than to the right one.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import demo
from ...errors import EMoEError
from ..pictures import NoPicture
from ..store import Judgement, Picture
from . import Asked, LeftOut

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "demo"
SIDE = 32  # of the pictures in reference.png
_NO_RIGHT_ONE = "no picture is the right one of their prompts (the demo experts know names of emoji only)"

Floats = NDArray[np.float64]
#: Opens a picture, or raises `NoPicture`.
See = Callable[[Picture], "Image"]


class DemoJudge:
    """Compares each picture with the right ones of all 350 things, in 32 by 32 pixels.

    Its value is how far up the right one stands among the nearest: 1 for the nearest, 0 for the farthest.
    """

    name = NAME
    notes: Sequence[str] = ()

    def __init__(self, see: See) -> None:
        self._see = see

    def about(self, asked: Asked) -> str:
        """See `Judge.about`."""
        return ""

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        """See `Judge.judge`."""
        for one in asked:
            right = self._named.get(one.prompt.prompt.lower(), [])
            if not right:
                yield LeftOut(one.picture.id, _NO_RIGHT_ONE)
                continue
            try:
                above = place(self._see(one.picture), self._known, right)
            except NoPicture as reason:
                yield LeftOut(one.picture.id, str(reason))
                continue
            yield Judgement(one.picture.id, NAME, 1 - above / (len(self._known) - 1), above > 0)

    @cached_property
    def _named(self) -> dict[str, list[int]]:
        """The things of a name, in any language."""
        found: dict[str, list[int]] = {}
        for index, concept in enumerate(demo.ground_truth()["concepts"]):
            for name in set(concept["names"].values()):
                found.setdefault(name.lower(), []).append(index)
        return found

    @cached_property
    def _known(self) -> Floats:
        """The right pictures, [things, 32 x 32 x 3] from 0 to 1."""
        from PIL import Image

        path = demo.FOLDER / "reference.png"
        try:
            with Image.open(path) as page:
                sheet = np.asarray(page.convert("RGB"), dtype=np.float64) / 255
        except OSError as error:
            raise EMoEError(f"{path} cannot be read ({error}); install the node pack again.") from error
        rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
        tiles = sheet.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(rows * columns, -1)
        return tiles[: len(demo.ground_truth()["concepts"])]


def place(picture: "Image", known: Floats, right: Sequence[int]) -> int:
    """How many things' pictures are nearer than the best of the right ones, by squared error."""
    distance = ((known - _small(picture)) ** 2).sum(axis=1)
    return int((distance < distance[list(right)].min()).sum())


def _small(picture: "Image") -> Floats:
    """The means of 32 by 32 equal parts, flat."""
    from PIL import Image

    bands = picture.convert("RGB").split()
    parts = [np.asarray(band.convert("F").resize((SIDE, SIDE), Image.Resampling.BOX)) for band in bands]
    return np.stack(parts, axis=-1).astype(np.float64).reshape(-1) / 255
