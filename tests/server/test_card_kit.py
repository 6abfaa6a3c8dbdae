"""The measurement on a graphics card, dry: on the processor with small networks, so that no minute on a card is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_all_its_graphs_run(tmp_path: Path) -> None:
    """Images, scores, gated images, lists and an interrupt, each with its seconds; the table has a line for each."""
    script = ROOT / "benchmarks" / "card" / "measure.py"
    env = {**os.environ, "EMOE_PYTHON": sys.executable}
    command = [sys.executable, str(script), "--dry", "--out", str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    (server,) = figures["servers"]
    assert "error" not in server and server["left_out"] == []
    rows = figures["rows"]
    assert [row.get("error") for row in rows] == [None] * len(rows)
    assert {row["what"] for row in rows} == {
        *("image", "score", "score, cold", "gated image", "list", "interrupt", "score after an interrupt"),
    }
    assert {row["preset"] for row in rows if row["what"] == "gated image"} == {"layout", "fast"}
    (gated, _) = (row for row in rows if row["what"] == "gated image")
    assert {"score", "gate", "draw"} <= set(gated["nodes"])
    (interrupted,) = (row for row in rows if row["what"] == "interrupt")
    assert interrupted["ended"] == "error" and interrupted["seconds"] is not None
    table = (tmp_path / "card.md").read_text(encoding="utf-8")
    keys = ("setup", "what", "experts", "preset", "steps", "list")
    assert table.count("| dry") == len({tuple(row.get(key) for key in keys) for row in rows})


def test_figures_of_several_runs_leave_out_the_first() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from card.prices import median
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    rows = [{"what": "image", "seconds": seconds} for seconds in (9.0, 2.0, 3.0)]
    assert median([*rows, {"what": "image", "error": "none left"}]) == 2.5
    assert median(rows[:1]) == 9.0
    assert median([]) is None
