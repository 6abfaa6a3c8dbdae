"""One command from packages to worlds: ``python -m tools.worlds --cache DIR``. Stop it whenever you like; it goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..train_demo.sources import prepare
from . import design
from .pipeline import Place, median_tokens, run


def main() -> int:
    """Train the worlds that are asked for, a split at a time."""
    parser = argparse.ArgumentParser(prog="python -m tools.worlds", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for downloads and training states")
    parser.add_argument("--world", choices=list(design.WORLDS), action="append", help="only this world (repeatable)")
    parser.add_argument("--split", type=int, action="append", help="only this split (repeatable; default 0, 1 and 2)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    sources = prepare(arguments.cache)
    for index in arguments.split or (0, 1, 2):
        for name in arguments.world or design.WORLDS:
            place = Place(sources, arguments.cache / "worlds", design.WORLDS[name], design.Split(index))
            print(f"world {name}, split {index}: {len(place.corpus.caption)} captions; shares {place.split.rates}")
            print(f"  median tokens {median_tokens(place)}", flush=True)
            run(place)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
