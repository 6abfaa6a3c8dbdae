"""`python -m emoe_core prove look`: known against unknown prompts on one's own models, before anything is drawn."""

import argparse

from ...errors import EMoEError
from ...io.console import out, out_json
from ...remote.workflow import load_workflow
from ...trial.look import LANGUAGES, NAMES, PAIRS, look_at
from ...trial.looking import keep, look_graph
from ...trial.store import Trial
from ..arguments import one_per_line
from ..one_run import run_once
from .place import ENDING, HELP, trial_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--server", required=True, metavar="URL", help="a ComfyUI server, e.g. http://127.0.0.1:8188")
    add("--workflow", required=True, metavar="FILE", help="a workflow in API format (in ComfyUI: Export (API))")
    add("--trial", required=True, metavar="NAME|FILE", help=HELP)
    add(
        "--pairs", type=int, default=PAIRS, metavar="N", help="known prompts, each with two unknown twins (%(default)s)"
    )
    add(
        "--languages",
        default=", ".join(LANGUAGES),
        metavar="L,L",
        help="whose names of things are compared (%(default)s)",
    )
    add("--names", type=int, default=NAMES, metavar="N", help="things named in each language (%(default)s)")
    add("--known", metavar="FILE", help="a prompt file that the models know, in place of the everyday scenes")
    add(
        "--rated",
        default="",
        metavar="FILE",
        help="a file of rated prompts in the server's input folder, such as PQPP's",
    )
    add(
        "--most-rated",
        type=int,
        default=200,
        metavar="N",
        help="at most so many of its prompts; 0 for all (%(default)s)",
    )
    add("--give-up", type=float, default=600, metavar="SECONDS", help="how long a silent server is waited for (600)")
    add("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    trial = Trial(trial_path(args.trial))
    wanted = {
        # A named trial lies with the server where that is the ComfyUI around this pack, and an interrupted run goes on there.
        "trial": "" if args.trial.endswith(ENDING) else args.trial,
        "pairs": args.pairs,
        "languages": args.languages,
        "names": args.names,
        "prompts": one_per_line(args.known),
        "prompt_file": args.rated,
        "most_rated": args.most_rated,
    }
    graph = load_workflow(args.workflow)
    _, entry, node = run_once(
        args.server, args.give_up, "look", "scores the prompts", lambda info: look_graph(graph, info, wanted)
    )
    keep(entry, node, trial)
    contents = trial.contents()
    found = look_at(contents)
    if found is None:
        raise EMoEError("Nothing was scored; set --pairs or --names above 0.")
    if args.json:
        out_json({**found.as_dict(), "passed": found.passed, "trial": str(trial.path)})
        return 0
    expert = (contents.facts.get("experts") or ["the first expert"])[0]
    for reading in contents.readings:
        for message in found.messages(reading.name, expert):
            out(str(message))
    return 0
