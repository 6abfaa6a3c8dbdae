"""The ledger's drift alarm: how often it is false, and how soon it is true.

    python benchmarks/drift.py --json drift.json

Claim: while new scores have the same distribution as the calibration's, an alarm at level L is raised in at most a share
1 / L of all ledgers, however long they grow and however often one looks. The other half of the table has no bound: how
many new prompts it takes to see a real change, after a short and after a long quiet time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from emoe_core.stats.drift import drift  # noqa: E402

REFERENCE = 110
LEVELS = (10.0, 20.0, 100.0)
DRAWS: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(0, 1),
    "log-normal": lambda rng: rng.lognormvariate(0, 1),
    "ten values": lambda rng: float(rng.randrange(10)),
}


def false_alarms(repeats: int, rows: int) -> list[dict[str, Any]]:
    found = []
    for name, draw in DRAWS.items():
        for size in (19, REFERENCE):
            rng = random.Random(0)
            highest = [
                drift([draw(rng) for _ in range(size)], [draw(rng) for _ in range(rows)]).highest
                for _ in range(repeats)
            ]
            shares = {f"{level:g}": sum(one >= level for one in highest) / repeats for level in LEVELS}
            found.append({"scores": name, "reference": size, "rows": rows, "ledgers": repeats, "alarms": shares})
    return found


def delays(repeats: int) -> list[dict[str, Any]]:
    found = []
    for shift in (0.5, 1.0, 2.0, -1.0):
        for quiet in (0, 500, 3000):
            rng, seen = random.Random(0), []
            for _ in range(repeats):
                reference = [rng.gauss(0, 1) for _ in range(REFERENCE)]
                scores = [rng.gauss(0, 1) for _ in range(quiet)] + [rng.gauss(shift, 1) for _ in range(500)]
                alarm = drift(reference, scores).alarm
                seen.append(alarm - quiet if alarm is not None and alarm >= quiet else None)
            after = sorted(one for one in seen if one is not None)
            found.append(
                {
                    "shift_in_standard_deviations": shift,
                    "quiet_rows_before": quiet,
                    "seen_within_500": len(after) / repeats,
                    "median_rows_until_alarm": statistics.median(after) if after else None,
                }
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    alarms, seen = false_alarms(args.repeats, args.rows), delays(max(args.repeats // 20, 20))
    error = {level: 3 * (1 / level * (1 - 1 / level) / args.repeats) ** 0.5 for level in LEVELS}
    holds = all(row["alarms"][f"{level:g}"] <= 1 / level + error[level] for row in alarms for level in LEVELS)
    print("false alarms, share of ledgers" + "".join(f"{f'level {level:g}':>12}" for level in LEVELS))
    print(f"{'at most':30}" + "".join(f"{1 / level:12.3f}" for level in LEVELS))
    for row in alarms:
        name = f"{row['scores']}, {row['reference']} reference"
        print(f"{name:30}" + "".join(f"{row['alarms'][f'{level:g}']:12.3f}" for level in LEVELS))
    print("\nshift   quiet rows before   seen within 500   median rows until the alarm at 100")
    for row in seen:
        print(
            f"{row['shift_in_standard_deviations']:5.1f}{row['quiet_rows_before']:20}{row['seen_within_500']:18.2f}"
            f"{row['median_rows_until_alarm']:>37}"
        )
    if args.json:
        figures = {"claim_holds": holds, "false_alarms": alarms, "delays": seen}
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
