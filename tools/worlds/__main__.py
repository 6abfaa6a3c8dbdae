"""One command from packages to worlds: ``python -m tools.worlds --cache DIR``. It may be stopped at any time and resumes.

Every world and split first gets its base and four experts, and only then the rest. So a run that was stopped early has
measured many worlds rather than one. Part 3 (other styles, LoRAs, a distilled expert) needs more than half as many
training steps again and serves one table only. So it is trained where it is asked for, after part 0: ``--part 3``.
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from . import design
from .pipeline import PARTS, USUAL, median_tokens, place_of, prepare_shared, run


def main() -> int:
    """Trains the requested worlds."""
    parser = argparse.ArgumentParser(prog="python -m tools.worlds", description=__doc__.split("\n\n")[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for downloads and training states")
    parser.add_argument(
        "--world",
        choices=[*design.WORLDS, *design.MORE],
        action="append",
        help="only this world (repeatable; default A, B and C)",
    )
    parser.add_argument("--split", type=int, action="append", help="only this split (repeatable; default 0, 1 and 2)")
    parser.add_argument(
        "--part",
        type=int,
        choices=PARTS,
        action="append",
        help="only this part (repeatable; default 0, 1 and 2). 0: base and four experts; 1: four more; 2: experts of their own "
        "seeds; 3: other styles, LoRAs and a distilled expert, more than half as many steps again, after part 0",
    )
    parser.add_argument("--jobs", type=int, default=1, help="worlds to train side by side, each with one thread")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of a single job (0: torch's own choice)")
    options = parser.parse_args()
    threads = 1 if options.jobs > 1 else options.threads
    if threads:
        torch.set_num_threads(threads)
    places = [(world, split) for split in options.split or (0, 1, 2) for world in options.world or design.WORLDS]
    for world, split in places:
        place = place_of(options.cache, world, split)
        print(f"world {world}, split {split}: {len(place.corpus.caption)} captions; shares {place.rates}")
        print(f"  median tokens {median_tokens(place)}", flush=True)
        prepare_shared(place)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for part in options.part or USUAL:
            jobs = [pool.submit(run, options.cache, world, split, part, threads) for world, split in places]
            for job in jobs:
                job.result()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
