"""`choose run`: a server measures the candidates; what it found is fetched."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...choosing.asking import candidates, choose_graph, file_of, scheduled
from ...choosing.record import ENDING, read
from ...choosing.result import choose, presets
from ...errors import EMoEError
from ...hosts.comfyui.user_files import named_file
from ...io.files import explained, write_whole
from ...remote.workflow import Graph, ObjectInfo, load_workflow
from ...scoring.presets import ScoreOptions
from ...trial.look import PAIRS
from ...trial.pictures import NoPicture, fetch
from ...trial.store import Picture
from ..arguments import one_per_line, picture_size
from ..one_run import run_once
from . import shown

_OPTIONS = ("noise_seed", "noise_samples", "steps", "scheduler", "at_step")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--server", required=True, metavar="URL", help="a ComfyUI server, e.g. http://127.0.0.1:8188")
    add("--name", default="my choice", help="the choice's name; a run with the same name goes on (%(default)s)")
    add("--out", default=".", metavar="DIR", help="where the choice's file, settings and workflow go (%(default)s)")
    who = parser.add_argument_group("the candidates")
    who.add_argument("--checkpoints", nargs="+", metavar="MODEL", help="two or more of the server's model files")
    who.add_argument("--workflow", metavar="FILE", help="or a workflow in API format whose Uncertainty Score has them")
    what = parser.add_argument_group("the prompts")
    add = what.add_argument
    add(
        "--pairs", type=int, default=PAIRS, metavar="N", help="known prompts, each with two unknown twins (%(default)s)"
    )
    add("--known", metavar="FILE", help="a prompt file that the models know, in place of the everyday scenes")
    add("--prompt-file", default="", metavar="FILE", help="more known prompts in groups, in the server's input folder")
    add("--groups", default="", metavar="COLUMN,...", help="its group columns (all that repeat)")
    add(
        "--most-rows",
        type=int,
        default=200,
        metavar="N",
        help="at most so many of its prompts; 0 for all (%(default)s)",
    )
    add("--trial", default="", metavar="NAME", help="a trial on the server: choose by its marks, on its prompts")
    how = parser.add_argument_group(
        "how, as in Uncertainty Score (with --workflow what is not given here is the Score's)"
    )
    plain = ScoreOptions()
    how.add_argument("--preset", choices=presets(), help=f"what the experts are chosen by ({plain.preset})")
    how.add_argument(
        "--size", type=picture_size, metavar="WxH", help="with --checkpoints: of the picture, in pixels (512x512)"
    )
    for name in ("noise_seed", "noise_samples", "steps", "at_step"):
        how.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=f"({getattr(plain, name)})")
    how.add_argument("--scheduler", help=f"schedule of noise levels, by ComfyUI's names ({plain.scheduler})")
    how.add_argument("--try-steps", default="", metavar="N,...", help="other steps to try")
    how.add_argument("--try-sizes", default="", metavar="WxH,...", help="other sizes to try")
    parser.add_argument(
        "--give-up", type=float, default=600, metavar="SECONDS", help="how long a silent server is waited for (600)"
    )
    shown.add_arguments(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    if bool(args.checkpoints) == bool(args.workflow):
        raise EMoEError("The candidates are not said: give --checkpoints, or --workflow with the Score that has them.")
    if args.size and args.workflow:
        raise EMoEError("--size goes with --checkpoints; a --workflow has the size of its latent.")
    target = named_file(Path(args.out), args.name, ENDING, "choice")
    wanted = {
        "name": args.name,
        "most": args.most,
        "loss": args.loss,
        "pairs": args.pairs,
        "prompts": one_per_line(args.known),
        "prompt_file": args.prompt_file,
        "groups": args.groups,
        "most_rows": args.most_rows,
        "trial": args.trial,
        "try_steps": args.try_steps,
        "try_sizes": args.try_sizes,
        **{name: getattr(args, name) for name in ("preset", *_OPTIONS) if getattr(args, name) is not None},
    }
    graph, content = _run(args, wanted)
    with explained(f"The choice '{target}' cannot be written", "choose another folder with --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)
    found = choose(read(target), args.most, args.loss)
    return shown.show(args, found, args.name, target.parent, graph)


def _run(args: argparse.Namespace, wanted: Mapping[str, Any]) -> tuple[Graph, bytes]:
    """The workflow with all candidates, and the choice's file."""
    given = load_workflow(args.workflow) if args.workflow else None

    def make(info: ObjectInfo) -> tuple[Graph, tuple[Graph, str]]:
        graph = candidates(args.checkpoints, info, args.size or (512, 512)) if given is None else given
        graph = scheduled(graph, args.scheduler)
        made, node = choose_graph(graph, info, wanted)
        return made, (graph, node)

    url, entry, (graph, node) = run_once(args.server, args.give_up, "choose", "measures the candidates", make)
    place = file_of(entry, node)
    picture = Picture(0, 0, 0, url, place["filename"], place["subfolder"], place["type"], None, None, 0.0)
    try:
        return graph, fetch(picture)
    except NoPicture as error:
        raise EMoEError(f"The choice's file cannot be fetched: {error}; start the same command again.") from error
