"""Arguments that several commands share: numbers, and those that choose a part of a built-in prompt set."""

import argparse
from typing import Any

from ..errors import EMoEError
from ..prompts.sets import Choice

FILTERS = ("languages", "topics", "territories", "things")


def at_least_one(text: str) -> int:
    """A whole number of at least 1, for `type`."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def add_filters(group: Any) -> None:
    """Adds the options that choose a part of a set to a parser or to a group of one."""
    add = group.add_argument
    add(
        "--languages",
        nargs="+",
        default=[],
        metavar="LANGUAGE",
        help="tags like fi or zh-Hant, or English names; 'all' (default: all; of regions English)",
    )
    add("--topics", nargs="+", default=[], metavar="TOPIC", help="only these topics (all)")
    add(
        "--territories",
        nargs="+",
        default=[],
        metavar="PLACE",
        help="of regions: two-letter codes, names, or areas like Africa or 'Western Asia' (all)",
    )
    add("--things", type=int, default=0, metavar="N", help="of concepts: at most N, spread evenly over all (all)")


def choice_of(name: str, args: argparse.Namespace) -> Any:
    """The chosen part of a set, as `sets.Choice`."""

    return Choice(name, _split(args.languages), _split(args.topics), _split(args.territories), args.things)


def refuse_filters(args: argparse.Namespace, name: str) -> None:
    """An `EMoEError` if a part was chosen of something that is no built-in set."""
    given = [f"--{option}" for option in FILTERS if getattr(args, option)]
    if given:
        raise EMoEError(
            f"{' and '.join(given)} choose a part of a built-in prompt set, and '{name}' is none; leave them out."
        )


def _split(texts: list[str]) -> tuple[str, ...]:
    """Several words, which may also be separated by commas."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
