"""What both actions say of a choice, and which files they write."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...charts import stack, table
from ...choosing.result import TITLES, Choice
from ...choosing.select import MOST
from ...choosing.sweep import LOSS
from ...errors import EMoEError
from ...io.console import out, out_json
from ...io.files import explained, replacing, write_whole
from ..arguments import at_least_one
from ..prove.place import comfyui


def add_arguments(add: Any) -> None:
    """Adds what both actions take."""
    add("--most", type=_set_size, default=MOST, metavar="N", help="the largest set that is looked for (%(default)s)")
    add("--loss", type=_share, default=LOSS, metavar="X", help="what the cheapest settings may lose (%(default)s)")
    add("--install", action="store_true", help="put the settings where Load Calibration finds them")
    add("--overwrite", action="store_true", help="replace settings of that name that are there")
    add("--picture", metavar="FILE", help="write both tables as a picture (.png)")
    add("--json", action="store_true", help="print everything as JSON")


def show(
    args: argparse.Namespace, found: Choice, name: str, folder: Path | None, graph: Mapping[str, Any] | None
) -> int:
    """Says what was found and writes the files; returns the exit code.

    Args:
        folder: where settings and workflow go; None writes none, unless they are installed.
        graph: a workflow in API format that is set by the advice.
    """
    said = list(map(str, found.messages()))
    written: list[str] = []
    if folder is not None or args.install:
        made = found.calibration(name)
        kept = comfyui() / "user" / "emoe" / "calibrations" if args.install else folder
        assert kept is not None
        file = kept / (f"{name}.json" if args.install else f"{name}.settings.json")
        if file.exists() and not (args.overwrite or made.is_kept_in(file)):
            raise EMoEError(f"There are other settings in '{file}'; give --overwrite to replace them, or another name.")
        with explained(f"The settings '{file}' cannot be written", "choose another folder"):
            kept.mkdir(parents=True, exist_ok=True)
            made.save(file)
        written.append(str(file))
        if graph is not None and folder is not None:
            written += _workflow(found, graph, file.stem, folder / f"{name}.workflow.json", said)
    if args.picture:
        written.append(_picture(found, Path(args.picture)))
    if args.json:
        out_json({**found.as_dict(), "files": written})
        return 0
    for line in said:
        out(line)
    if written:
        out(f"Written: {', '.join(written)}.")
    return 0


def _workflow(found: Choice, graph: Mapping[str, Any], settings: str, target: Path, said: list[str]) -> list[str]:
    try:
        made = found.workflow(graph, settings)
    except EMoEError as error:
        said.append(f"No workflow is written. {error}")
        return []
    with explained(f"The workflow '{target}' cannot be written", "choose another folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, json.dumps(made, ensure_ascii=False, indent=1) + "\n")
    return [str(target)]


def _picture(found: Choice, path: Path) -> str:
    tables = zip(TITLES, found.tables(), strict=True)
    made = stack([table(head, rows, title=title, highlight=marked) for title, (head, rows, marked) in tables])
    with explained(f"The picture '{path}' cannot be written", "choose another folder"), replacing(path) as part:
        made.save(part, "PNG")
    return str(path)


def _set_size(text: str) -> int:
    found = at_least_one(text)
    if found < 2:
        raise argparse.ArgumentTypeError("a set has at least 2 experts")
    return found


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to 1")
    return found
