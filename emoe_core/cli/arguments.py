"""Arguments that several commands share: how a prompt is scored, where rows are queued, which part of a set is meant."""

import argparse
from collections.abc import Callable
from typing import Any

from ..errors import EMoEError
from ..prompts import load_prompts
from ..prompts.sets import Choice
from ..remote.server import normal_url
from ..scoring.presets import CUSTOM, DEFAULT, PRESETS, ScoreOptions

FILTERS = ("languages", "topics", "territories", "things")


def at_least_one(text: str) -> int:
    """A whole number of at least 1, for `type`."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def one_per_line(path: str | None) -> str:
    """The prompts of a file as a node takes them, one per line; "" without a file."""
    return "\n".join(" ".join(row.prompt.splitlines()) for row in load_prompts(path)[0]) if path else ""


def add_queue(add: Callable[..., Any], rows: str = "rows") -> None:
    """Adds the options of a command that queues a workflow for every row of a prompt file.

    Args:
        add: `add_argument` of a parser or a group.
        rows: what is queued, for the help.
    """
    one = rows.removesuffix("s")
    add("--server", required=True, metavar="URL[,URL...]", help="ComfyUI servers, e.g. http://127.0.0.1:8188")
    add("--workflow", required=True, metavar="FILE", help="a workflow in API format (in ComfyUI: Export (API))")
    add(
        "--prompts",
        required=True,
        metavar="FILE",
        help="the rows: .txt, .csv, .tsv, .jsonl or .parquet; or everyday, a built-in set",
    )
    add(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="COLUMN=NODE.INPUT",
        help="which input a column fills, NODE being the node's title or id; may be given several times. Without one "
        "for the column prompt it goes to the node titled Prompt, else to the only Encode for Experts",
    )
    add("--dry-run", action="store_true", help="check workflow, prompts and servers; show the first row; queue nothing")
    add("--in-flight", type=at_least_one, default=1, metavar="N", help=f"{rows} a server has at a time (default 1)")
    add(
        "--attempts",
        type=at_least_one,
        default=5,
        metavar="N",
        help=f"how often a {one} that servers lose is queued (5)",
    )
    add("--give-up", type=float, default=600, metavar="SECONDS", help="how long a silent server is waited for (600)")
    add("--json", action="store_true", help="print a summary as JSON at the end")


def urls_of(args: argparse.Namespace) -> list[str]:
    """The addresses in --server."""
    urls = list(dict.fromkeys(normal_url(text) for text in args.server.split(",") if text.strip()))
    if not urls:
        raise EMoEError("--server names no server; write it like http://127.0.0.1:8188.")
    return urls


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
    add(
        "--things",
        type=int,
        default=0,
        metavar="N",
        help="of concepts and everyday: at most N, spread evenly over all (all)",
    )


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


_OTHERS = ", ".join(name for name in PRESETS if name != DEFAULT)
_PLAIN = ScoreOptions()
_NAMES = ("preset", "tap", "estimator", "size", "noise_seed", "noise_samples", "steps", "scheduler", "at_step")


def add_options(add: Callable[..., Any], size: str) -> None:
    """Adds `ScoreOptions` as options of a command.

    Args:
        add: `add_argument` of a parser or a group.
        size: the default size, for the help.
    """
    told: dict[str, dict[str, Any]] = {
        "preset": {"help": f"{DEFAULT} (default), {_OTHERS}, or {CUSTOM} with --tap and --estimator"},
        "tap": {"help": f"with preset {CUSTOM}: mid_out, mid_in, noise_pred or block:N"},
        "estimator": {"help": f"with preset {CUSTOM}: how it is read"},
        "size": {"type": picture_size, "metavar": "WxH", "help": f"of the picture, in pixels ({size})"},
        "noise_seed": {"type": int, "metavar": "N", "help": "seed of the first noise sample (%(default)s)"},
        "noise_samples": {"type": int, "metavar": "N", "help": "noise samples to average over (%(default)s)"},
        "steps": {
            "type": int,
            "metavar": "N",
            "help": "steps of the schedule that --at-step counts in (%(default)s)",
        },
        "scheduler": {"help": "schedule of noise levels, by ComfyUI's names (%(default)s)"},
        "at_step": {"type": int, "metavar": "N", "help": "the step that is scored; 0 (default) is pure noise"},
    }
    for name in _NAMES:
        add(f"--{name.replace('_', '-')}", default=getattr(_PLAIN, name), **told[name])


def options_of(args: argparse.Namespace) -> ScoreOptions:
    """The options in these arguments.

    Raises:
        EMoEError: an impossible value.
    """
    return ScoreOptions(**{name: getattr(args, name) for name in _NAMES})


def picture_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write it like 768x512")
    return int(sides[0]), int(sides[-1])
