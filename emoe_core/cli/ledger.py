"""`python -m emoe_core ledger`: what the Gates decided, how long it took, and whether the calibration still fits."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from ..errors import EMoEError
from ..io.console import out
from ..io.files import explained
from ..io.spreadsheet import write_csv
from ..ledger.recalibrate import calibrate
from ..ledger.store import Ledger, LedgerRow, finite
from ..ledger.summary import lines, summarise
from ..ledger.sync import from_results, from_server
from ..records.calibration import Calibration
from ..remote.server import normal_url

DESCRIPTION = "Reads the ledger that Gates write when their input ledger is on: user/emoe/ledger.sqlite3 of ComfyUI."
EPILOG = "exit codes: 0 done; 1 scores have drifted (only with --fail-on-drift); 2 it could not be done"
PACK = Path(__file__).absolute().parents[2]
JSON_COLUMNS = ("settings", "experts", "items")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG)
        made.add_argument(
            "--db", metavar="FILE", help="the ledger; the one of the ComfyUI around this pack when not given"
        )
        return made

    summary = action("summary", "blocked share, seconds saved and drift, for each settings' fingerprint")
    summary.add_argument("--calibration", metavar="FILE", help="measure drift against this calibration")
    summary.add_argument("--fingerprint", metavar="X", help="these settings alone; the beginning is enough")
    summary.add_argument("--fail-on-drift", action="store_true", help="exit code 1 when scores have drifted")
    summary.add_argument("--json", action="store_true", help="print the figures as JSON")

    export = action("export", "all rows as .csv or .jsonl")
    export.add_argument("--out", required=True, metavar="FILE", help="where to, .csv or .jsonl; - is .jsonl on stdout")
    export.add_argument("--fingerprint", metavar="X", help="these settings alone; the beginning is enough")

    mark = action("mark", "say of verdicts whether their images came out good or bad")
    mark.add_argument("ids", metavar="ID[,ID...]", help="ids as `export` lists them; 12-20 means all from 12 to 20")
    mark.add_argument("quality", choices=["good", "bad", "none"], help="none takes a mark away")

    sync = action("sync", "learn how long the runs took and what they saved, from servers or from a batch's results")
    sync.add_argument("--server", metavar="URL[,URL...]", help="ComfyUI servers that made the verdicts")
    sync.add_argument("--results", metavar="FILE", help="what the batch command wrote")
    sync.add_argument(
        "--limit", type=int, default=2000, metavar="N", help="ask for at most N runs (2000), newest first"
    )

    calibrate = action("calibrate", "make a calibration of the verdicts under one settings' fingerprint")
    calibrate.add_argument("--fingerprint", required=True, metavar="X", help="which settings; the beginning is enough")
    calibrate.add_argument("--out", required=True, metavar="FILE", help="where the calibration goes, .json")
    calibrate.add_argument("--name", default="", help="what to call it; the file's name when not given")
    calibrate.add_argument("--unmarked-as-good", action="store_true", help="take rows without a mark too, as good ones")
    calibrate.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""
    done: int = _ACTIONS[args.action](args)
    return done


def _ledger(args: argparse.Namespace) -> Ledger:
    return Ledger(args.db or default_path())


def default_path() -> Path:
    """The ledger of the ComfyUI whose `custom_nodes` holds this pack."""
    # The shell's idea of the current folder knows a link by its name, and a pack may be linked into custom_nodes.
    here = Path(os.environ.get("PWD", PACK))
    pack = here if here.exists() and here.resolve() == PACK.resolve() else PACK
    return pack.parents[1] / "user" / "emoe" / "ledger.sqlite3"


def _summary(args: argparse.Namespace) -> int:
    calibration = None if args.calibration is None else Calibration.load(args.calibration)
    found = summarise(_ledger(args), calibration, args.fingerprint)
    drifted = any(one["drift"].get("alarm") for one in found)
    code = 1 if drifted and args.fail_on_drift else 0
    if args.json:
        out(json.dumps({"ledger": found, "drifted": drifted, "exit_code": code}, indent=2, allow_nan=False))
    else:
        out("\n\n".join("\n".join(lines(one)) for one in found))
    return code


def _export(args: argparse.Namespace) -> int:
    ledger = _ledger(args)
    rows = list(_flat(ledger, args.fingerprint or ""))
    if args.out == "-":
        _write_jsonl(sys.stdout, rows)
        return 0
    path = Path(args.out)
    kinds = {".csv": _write_csv, ".jsonl": _write_jsonl}
    if path.suffix.lower() not in kinds:
        raise EMoEError(f"--out names '{path}', whose kind is unknown; end it with .csv or .jsonl.")
    with (
        explained(f"'{path}' cannot be written", "name another file"),
        open(path, "w", encoding="utf-8", newline="") as file,
    ):
        kinds[path.suffix.lower()](file, rows)
    _note(f"{len(rows)} verdicts are in '{path}'.")
    return 0


def _flat(ledger: Ledger, fingerprint: str) -> Iterator[dict[str, Any]]:
    """Each row with its settings, ready for JSON."""
    settings = ledger.settings()
    for row in ledger.rows():
        if not row.fingerprint.startswith(fingerprint):
            continue
        kept, experts = settings[row.fingerprint]
        flat = {name: finite(value) if isinstance(value, float) else value for name, value in asdict(row).items()}
        when = datetime.fromtimestamp(row.time, timezone.utc).isoformat(timespec="milliseconds")
        yield {**flat, "time": when, "settings": asdict(kept), "experts": list(experts)}


def _write_jsonl(file: IO[str], rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=file is sys.stdout, allow_nan=False) + "\n")


def _write_csv(file: IO[str], rows: Sequence[dict[str, Any]]) -> None:
    names = [*LedgerRow.__dataclass_fields__, "settings", "experts"]
    texts = ({name: json.dumps(row[name], ensure_ascii=False) for name in JSON_COLUMNS} for row in rows)
    write_csv(file, names, ({**row, **text} for row, text in zip(rows, texts, strict=True)))


def _mark(args: argparse.Namespace) -> int:
    ids = list(_ids(args.ids))
    _ledger(args).mark(ids, None if args.quality == "none" else args.quality)
    _note(f"{len(ids)} verdicts are marked as {args.quality}.")
    return 0


def _ids(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
            raise EMoEError(f"'{part}' is no verdict's id; write them like 3 or 3,5 or 12-20.")
        yield from range(int(first), int(last or first) + 1)


def _sync(args: argparse.Namespace) -> int:
    ledger = _ledger(args)
    urls = [normal_url(text) for text in (args.server or "").split(",") if text.strip()]
    if not urls and not args.results:
        raise EMoEError("Where to learn the seconds from is not said; give --server URL, or --results FILE of a batch.")
    if args.results:
        _note(f"{from_results(ledger, Path(args.results))} runs were learned from '{args.results}'.")
    for url in urls:
        learned, unknown = asyncio.run(from_server(ledger, url, args.limit))
        _note(f"{learned} runs were learned from {url}; it does not know {unknown} others.")
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    path = Path(args.out)
    if path.exists() and not args.overwrite:
        raise EMoEError(f"'{path}' is there already; name another file, or give --overwrite.")
    made, notes = calibrate(
        _ledger(args), args.fingerprint, args.name or path.stem, unmarked_as_good=args.unmarked_as_good
    )
    with explained(f"'{path}' cannot be written", "name another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save(path)
    for note in notes:
        _note(note)
    _note(f"{made.line()} Written to '{path}'.")
    return 0


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


_ACTIONS = {"summary": _summary, "export": _export, "mark": _mark, "sync": _sync, "calibrate": _calibrate}
