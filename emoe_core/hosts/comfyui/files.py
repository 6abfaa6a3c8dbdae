"""Files in ComfyUI's output folder, named the way its own save nodes name theirs."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import folder_paths
from PIL import Image

from ...errors import EMoEError
from ...io.files import write_whole
from ...records.message import Code, Message
from ...show.card import card_picture
from ...trial.pictures import Place, find


def save_text(text: str, filename_prefix: str, ending: str, node: str) -> dict[str, str]:
    """Writes a text file and returns the entry by which clients find it: filename, subfolder and type.

    Args:
        node: the name of the node with the input filename_prefix, for the error.

    Raises:
        EMoEError: the file cannot be written there.
    """
    with saved_under(filename_prefix, node):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        filename = f"{name}_{counter:05}_{ending}"
        target = Path(folder) / filename
        write_whole(target, text)
    return {"filename": filename, "subfolder": subfolder, "type": "output"}


def picture_file(picture: Place) -> Path:
    """The file that a row names in one of ComfyUI's folders; a `NoPicture` where it is in none of them."""
    base = folder_paths.get_directory_by_type(picture.type)
    return find(picture, {} if base is None else {picture.type: Path(base)})


@contextlib.contextmanager
def saved_under(filename_prefix: str, node: str) -> Iterator[None]:
    """While a file is written into the output folder: whatever goes wrong is an `EMoEError` that names node and input."""
    try:
        yield
    except Exception as error:  # ComfyUI refuses a place outside of the output folder with a bare Exception
        raise EMoEError(
            f"{node} cannot write its file into the output folder under the filename_prefix '{_short(filename_prefix)}' "
            f"({_reason(error)}); choose another filename_prefix, or make the folder writable."
        ) from error


def save_json(content: dict[str, Any], filename_prefix: str, node: str) -> dict[str, str]:
    """Writes a JSON file and returns its entry, like `save_text`."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    return save_text(text, filename_prefix, ".json", node)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next(iter(str(error).splitlines()), type(error).__name__).removeprefix("**** ERROR: ").rstrip(". ")


def keep_picture(picture: Image.Image, name: str) -> dict[str, str]:
    """Puts a picture into ComfyUI's temp folder, like Preview Image, and returns the entry by which clients find it.

    The name holds a digest of the content, so the same picture is written once. Type "temp" tells clients that it is no
    result of the graph.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.png"
    if not path.exists():
        write_whole(path, buffer.getvalue())
    return {"filename": path.name, "subfolder": "", "type": "temp"}


def decoration(make: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """What pictures add to a node's `ui`, and what to say where they cannot be kept: no result depends on them."""
    try:
        return make(), []
    except OSError as error:
        return {}, [str(Message.of(Code.NO_PICTURE, reason=_reason(error)))]


def card_ui(shown: dict[str, Any], picture: bool) -> tuple[dict[str, Any], list[str]]:
    """A node's addition to its `ui`: the score card as figures for the frontend, and as a picture; and what to say."""
    made, said = (
        decoration(lambda: {"images": [keep_picture(card_picture(shown), "emoe_card")]}) if picture else ({}, [])
    )
    return {**made, "emoe_card": [shown]}, said
