"""`choose run`: a server measures the candidates; what it found is fetched."""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...batch.engine import START_PATIENCE, object_infos
from ...choosing.asking import candidates, choose_graph, file_of, scheduled
from ...choosing.record import ENDING, read
from ...choosing.result import choose, presets
from ...errors import EMoEError
from ...hosts.comfyui.user_files import named_file
from ...io.console import Console
from ...io.files import explained, write_whole
from ...prompts import PromptRow
from ...remote.driver import Driver, Gone
from ...remote.server import Job, Link, Refused, new_session, normal_url
from ...remote.workflow import Graph, load_workflow
from ...scoring.presets import ScoreOptions
from ...trial.look import PAIRS
from ...trial.pictures import NoPicture, fetch
from ...trial.store import Picture
from ..arguments import one_per_line, picture_size
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
    graph, content = asyncio.run(_run(args, wanted))
    with explained(f"The choice '{target}' cannot be written", "choose another folder with --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)
    found = choose(read(target), args.most, args.loss)
    return shown.show(args, found, args.name, target.parent, graph)


async def _run(args: argparse.Namespace, wanted: Mapping[str, Any]) -> tuple[Graph, bytes]:
    """The workflow with all candidates, and the choice's file."""
    given, console = load_workflow(args.workflow) if args.workflow else None, Console()
    async with new_session() as session:
        link = Link(normal_url(args.server), session)
        infos = await object_infos([link], console, min(args.give_up, START_PATIENCE))
        info = infos[link.url]
        graph = candidates(args.checkpoints, info, args.size or (512, 512)) if given is None else given
        graph = scheduled(graph, args.scheduler)
        made, node = choose_graph(graph, info, wanted)
        job = Job(PromptRow(0, 0, ""), "choose")
        job.begin(link.url)
        driver = Driver(args.give_up)
        console.note(f"{link.url} measures the candidates; the node in ComfyUI shows how far it is.")
        listener = asyncio.ensure_future(link.listen())
        try:
            refused, sure = await driver.post(link, job, made)
            entry = await driver.ended(link, job, sure)
        except Refused as error:
            raise EMoEError(str(error)) from error
        except Gone as error:
            raise EMoEError(f"{link.url} does not answer; start it, and start the same command again.") from error
        finally:
            listener.cancel()
        if refused:
            raise EMoEError(refused)
        if entry is None:
            raise EMoEError(f"{link.url} has lost the run, as a restart does; start the same command again.")
    place = file_of(entry, node)
    picture = Picture(0, 0, 0, link.url, place["filename"], place["subfolder"], place["type"], None, None, 0.0)
    try:
        return graph, await asyncio.to_thread(fetch, picture)
    except NoPicture as error:
        raise EMoEError(f"The choice's file cannot be fetched: {error}; start the same command again.") from error
