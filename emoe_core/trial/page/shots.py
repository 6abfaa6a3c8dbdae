"""Pictures inside the page: made small, few, and only those that can be read."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...pages.markup import Content, Html, join, prompt, tag, void
from ...pages.wording import percent, short, whole
from ..evidence import Surprise
from ..pictures import NoPicture
from ..store import Picture
from .wording import say

if TYPE_CHECKING:
    from PIL.Image import Image

#: Opens a picture, or raises `NoPicture`.
See = Callable[[Picture], "Image"]
SIDE = 256  # of the longer side, in pixels
_QUALITY = 80


def no_pictures(picture: Picture) -> "Image":
    """For a page without pictures."""
    raise NoPicture("no folder was given")


def small(picture: Picture, see: See) -> str:
    """The picture as a data URI; "" where it cannot be had."""
    try:
        image = see(picture).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        kept = io.BytesIO()
        image.save(kept, "JPEG", quality=_QUALITY, optimize=True)
    except (NoPicture, OSError, ValueError):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(kept.getvalue()).decode()}"


def shots(found: Sequence[tuple[str, Sequence[Surprise]]], see: See) -> Html:
    """Lists of pictures with their prompts, each under a title, and how many are left out."""
    parts: list[Content] = []
    missing = 0
    for title, surprises in found:
        items = []
        for one in surprises:
            uri = small(one.picture, see)
            missing += not uri
            items.append(_item(one, uri))
        shown = tag("ul", *items, cls="shots") if items else tag("p", say("surprises_none"))
        parts.append(join(tag("h3", say(title)), shown))
    if missing:
        parts.append(tag("p", say("shots_missing", count=whole(missing)), cls="note"))
    return join(*parts)


def _item(one: Surprise, uri: str) -> Html:
    # The prompt stands below the picture, so the picture itself has no other text.
    picture = void("img", src=uri, alt="") if uri else tag("span", say("shot_missing"), cls="gone")
    certain = say("more_certain_than", share=percent(one.above))
    if one.below > one.above:
        certain = say("less_certain_than", share=percent(one.below))
    return tag(
        "li", picture, prompt(one.prompt, 160), tag("small", certain, " · ", say("score_is", score=short(one.score)))
    )
