"""`python -m emoe_core prompts`: the built-in prompt sets, listed or written to a file."""

import argparse
from typing import Any

from ..io.console import out, out_json
from ..prompts.sets import SETS, Choice, write
from .arguments import add_filters, choice_of, refuse_filters

DESCRIPTION = (
    "Without a name: lists the built-in prompt sets with their languages and topics. With one: writes it, or the chosen part "
    "of it, as a file for audit, batch or any other use. The names in concepts and regions are Unicode CLDR's."
)
EPILOG = "exit codes: 0 done; 2 there is no such set, language, topic or territory, or the file cannot be written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", nargs="?", default="", metavar="SET", help="concepts, regions or everyday")
    parser.add_argument("--out", default="", metavar="FILE", help=".csv, .tsv, .jsonl or .txt (prompts alone)")
    add_filters(parser)
    parser.add_argument("--json", action="store_true", help="print what was found or written as JSON")


def run(args: argparse.Namespace) -> int:
    """The command; returns its exit code."""

    if not args.set:
        refuse_filters(args, "(no name)")
    choices = [choice_of(args.set, args)] if args.set else [Choice(name, ("all",)) for name in SETS]
    told = [_told(choice) for choice in choices]
    if args.set and args.out:
        told[0]["file"] = str(write(choices[0], args.out))
    if args.json:
        out_json(told[0] if args.set else {"sets": told})
        return 0
    for found in told:
        out(f"{found['set']}: {found['prompts']} prompts ({found['source']})")
        out(f"  columns: {', '.join(found['columns'])}")
        out(f"  {len(found['languages'])} languages: {' '.join(found['languages'])}")
        out(f"  {len(found['topics'])} topics: {' '.join(found['topics'])}")
        if "file" in found:
            out(f"Written to {found['file']}.")
    if not args.out:
        out("Write one with --out FILE; choose a part with --languages, --topics, --territories, --things.")
    return 0


def _told(choice: Choice) -> dict[str, Any]:
    return {
        "set": choice.name,
        "source": choice.source,
        "prompts": choice.count(),
        "columns": list(choice.columns()),
        "languages": choice.tags(),
        "topics": list(choice.topics) or choice.all_topics(),
    }
