"""Do the figures hold for photographs whose captions are sentences?

    python -m tools.worlds --cache CACHE --world T --split 0 --part 0
    python benchmarks/photographs.py --worlds CACHE [--json FILE] [--document docs/validity.md]

World T learns from photographs, such as that of "A red kangaroo.". World C differs from it in the things and their captions
alone, so it is measured beside it if it was trained too. The table has the columns of the other worlds' table, see
docs/validity.md. It also says how well the worlds' autoencoder, which was trained on emoji, keeps their pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

NAMES = ("C", "T")
SPLIT = 0


def kept_by_autoencoder(place: Any) -> float:
    """Mean PSNR of a world's pictures after the autoencoder, in dB."""
    import torch

    from tools.train_demo.train_vae import encode
    from tools.worlds.pipeline import autoencoder

    net, true = autoencoder(), place.pictures
    with torch.no_grad():
        made = torch.cat([net.decode(latents) for latents in encode(net, true).split(16)]).clamp(-1, 1)
    error = ((made - true) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, metavar="CACHE", required=True, help="where world T was trained")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the table into this document")
    options = parser.parse_args()
    from common import enter_host, write

    enter_host()
    import torch
    from known_truth import document
    from known_truth.worlds import WorldSource, trained
    from validity import FULL_SEEDS, MAIN_SET, WORLD_PROMPTS, WORLD_ROUNDS, table_of

    import emoe_core.experts.sets
    import emoe_core.experts.signature
    import emoe_core.gating.curves
    import emoe_core.records.settings
    import emoe_core.scoring.probe
    import emoe_core.scoring.score
    import emoe_core.stats.evaluation

    torch.set_grad_enabled(False)
    figures: dict[str, Any] = {"worlds": {}, "autoencoder": {}}
    for place in trained(options.worlds, NAMES):
        source = WorldSource(emoe_core, place)
        if place.split.index != SPLIT or MAIN_SET not in source.sets():
            continue
        rows = source.prompts(WORLD_PROMPTS)
        columns = source.measure(rows, source.sets()[MAIN_SET])
        table = table_of(emoe_core, rows, columns, source.draw(rows, FULL_SEEDS).as_dict(), WORLD_ROUNDS)
        order = table.order_of_languages()
        figures["worlds"][source.name] = {MAIN_SET: table.everything(), "languages": order}
        figures["autoencoder"][source.name] = kept_by_autoencoder(place)
        print(f"{source.name}: pictures after the autoencoder {figures['autoencoder'][source.name]:.1f} dB", flush=True)
        for preset, told in order.items():
            words = ", ".join(f"{name} {figure['value']:.2f}" for name, figure in told.items())
            print(f"  {preset}: {words}", flush=True)
    print("\n".join(document.worlds(figures)))
    write(options.json, figures)
    if options.document:
        document.update(figures, options.document, {"photographs": document.worlds})
    return 0


if __name__ == "__main__":
    sys.exit(main())
