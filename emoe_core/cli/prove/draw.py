"""`python -m emoe_core prove draw`: scores every prompt of a file in every way and draws it, through one's own workflow."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...batch.engine import START_PATIENCE, follow, object_infos, refuse, taken
from ...batch.plan import BatchPlan, problems, read_plan, report
from ...batch.runner import Rules, Runner
from ...errors import EMoEError
from ...io.console import LISTED, Console, out_json
from ...remote.server import Link, new_session
from ...remote.workflow import find_targets, fingerprint, label
from ...trial.drawing import STRIDE, Drawing, prepare
from ...trial.record import TrialRecord
from ..arguments import add_queue, at_least_one, urls_of
from .place import HELP, trial_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_queue(add, "pictures")
    add("--trial", required=True, metavar="NAME|FILE", help=HELP)
    add("--pictures", type=at_least_one, default=1, metavar="N", help="pictures per prompt (1); more may follow later")
    add("--picture", default="", metavar="NODE", help="the node that saves the picture, where the workflow has several")
    add(
        "--seed-input",
        dest="seed_inputs",
        action="append",
        default=[],
        metavar="NODE.INPUT",
        help="the input that gets each picture's seed; may be given several times. Without one: every input seed or noise_seed "
        "that the saved picture depends on; the Score's own noise_seed never changes",
    )
    add(
        "--base-seed",
        type=int,
        default=0,
        metavar="N",
        help=f"the first seed (0): picture n of row r gets N + {STRIDE} (r - 1) + n, with n from 0 and r from 1",
    )


def run(args: argparse.Namespace) -> int:
    """The action; returns its exit code."""
    urls, path = urls_of(args), trial_path(args.trial)
    if path.resolve() in (Path(args.prompts).resolve(), Path(args.workflow).resolve()):
        raise EMoEError(f"--trial names '{path}', which is read; give the trial a file of its own.")
    plan = read_plan(args.workflow, args.prompts)
    console = _Pictures()
    console.left_out(plan.prompts, plan.bad)
    return asyncio.run(_run(args, urls, path, plan, console))


class _Pictures(Console):
    """Progress in pictures."""

    noun = "pictures"

    def outcomes(self) -> list[str]:
        return [f"{self.totals.error} failed"]


async def _run(args: argparse.Namespace, urls: Sequence[str], path: Path, plan: BatchPlan, console: Console) -> int:
    async with new_session() as session:
        links = [Link(url, session) for url in urls]
        infos = await object_infos(links, console, 0.0 if args.dry_run else min(args.give_up, START_PATIENCE))
        targets = find_targets(plan.graph, args.assignments, next(iter(infos.values())))
        work = prepare(
            plan.graph,
            targets,
            infos,
            seed_inputs=args.seed_inputs,
            saver=args.picture,
            pictures=args.pictures,
            base=args.base_seed,
        )
        watched = replace(plan, graph=work.workflow)
        found = problems(watched, targets, infos)
        if args.dry_run:
            found += [f"{url} does not answer; start it or leave it out." for url in urls if url not in infos]
            return report(watched, targets, work.info, found, args.json, _would(work, path))
        refuse(found, console)
        record = TrialRecord(path, fingerprint(plan.graph, [*targets, *work.seeds]))
        try:
            record.open(plan.graph, args.base_seed, args.pictures)
            rules = Rules(in_flight=args.in_flight, attempts=args.attempts, give_up=args.give_up)
            runner = Runner(work, record, rules, console)
            stopped = await follow(runner, record, lambda: work.jobs(plan), links, console)
        except OSError as error:
            raise EMoEError(
                f"'{path}' or its state file cannot be written ({error.strerror}); make room and start again."
            ) from error
        finally:
            record.close()
            console.finish()
    return _end(args, plan, record, runner, console, stopped)


def _would(work: Drawing, path: Path) -> dict[str, object]:
    return {
        "pictures_per_prompt": work.pictures,
        "picture_saved_by": label(work.workflow, work.saver),
        "seeds_set": [f"{target.input} of {label(work.workflow, target.node)}" for target in work.seeds],
        "trial": str(path),
    }


def _end(
    args: argparse.Namespace, plan: BatchPlan, record: TrialRecord, runner: Runner, console: Console, stopped: int
) -> int:
    totals, wanted = console.totals, len(plan.keys) * args.pictures
    left = wanted - totals.done
    code = 2 if record.failed or plan.bad or left else 0
    if stopped and left:
        code = 128 + stopped
    failed = sorted(record.failed, key=lambda one: (one["row"], one["number"]))
    for one in failed[:LISTED]:
        console.note(f"Row {one['row']} has no picture {one['number']}: {one['error']}")
    if len(failed) > LISTED:
        console.note(f"{len(failed) - LISTED} more pictures failed.")
    console.note(f"{totals.ok} of {wanted} pictures of {len(plan.keys)} prompts are in '{record.path}'.")
    if left or failed:
        console.note(f"{left + len(failed)} are left; start the same command again to go on.")
    if args.json:
        out_json(
            {
                "prompts": len(plan.keys),
                "pictures": wanted,
                "drawn": totals.ok,
                "failed": [{name: one[name] for name in ("row", "number", "prompt", "error")} for one in failed],
                "left": left,
                **taken(plan, runner, console),
                "trial": str(record.path),
                "exit_code": code,
            }
        )
    return code
