"""What a node shows of itself as text, and what it refuses: lines that no name or prompt in them can spoil."""

from collections.abc import Collection, Iterable
from typing import Any

from comfy_api.latest import io

from ..emoe_core.errors import BRIEF, plain


def text_ui(*lines: str) -> dict[str, list[str]]:
    """The part of a node's `ui` that is text."""
    return {"text": [plain(line) for line in lines]}


def for_page(hidden: io.HiddenHolder | None) -> bool:
    """Whether a page shows the run: a page always sends its workflow along, and an API client has none to send.

    Many clients take every picture in the history for a result, and the first output for the last. Outside of a run
    (None) nobody says, and all is shown.
    """
    sent = None if hidden is None else hidden.extra_pnginfo
    return hidden is None or (isinstance(sent, dict) and "workflow" in sent)


def joined(lines: Iterable[str]) -> str:
    """Lines as one text, for an output."""
    return "\n".join(map(plain, lines))


def refused(name: Any, known: Collection[str], what: str, where: str) -> str | None:
    """Why a name that a client posted cannot be, None where it can: ComfyUI leaves a list that a node checks itself to the node.

    None as the name: another node gives it, and has not run yet.
    """
    if name is None or (isinstance(name, str) and name in known):
        return None
    shown = f"'{plain(name, BRIEF)}'" if isinstance(name, str) else f"a {type(name).__name__}, which is no name, and so"
    return f"{what} {shown}{f' is not {where}' if where else ''}; refresh the list and choose another."
