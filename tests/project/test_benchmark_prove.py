"""The benchmark of a trial's page: quick trials keep their word, and one that breaks it is found out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from emoe_testing.modules import script

from emoe_core.stats import sequential
from emoe_core.trial.foresight import EDGE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return script(ROOT / "benchmarks" / "prove.py", "prove_benchmark")


def test_the_quick_benchmark_keeps_its_word(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n", "utf-8")
    out = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["prove.py", "--quick", "--json", str(out), "--document", str(page)])
    benchmark.main()
    figures = json.loads(out.read_text("utf-8"))
    nothing, edge, good = figures["simulated"]
    assert nothing["said"] <= 0.05 and edge["said"] <= 0.05
    assert good["said"] > 0.9 and good["median"] <= 60
    assert all(row["missed"] <= 0.1 for row in figures["simulated"])
    widths = [row["0.8/0.3"] for row in figures["widths"]]
    assert widths == sorted(widths, reverse=True)
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| AUROC 0.8, 30 % bad |" in text


def test_looking_often_at_an_interval_for_one_look_is_found_out(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "boundary", lambda time: 1.96)
    row = benchmark.simulate(benchmark.Kind(0.55), 60, 200)
    assert row["missed"] > 0.15


def test_its_edge_is_the_rules(benchmark: ModuleType) -> None:
    assert benchmark.EDGE == EDGE


def test_the_documents_figures_are_filled_in() -> None:
    """What docs/prove.md and the page say of the simulation is what its table says."""
    text = (ROOT / "docs" / "prove.md").read_text("utf-8")
    block = re.search(r"<!-- figures:simulated -->(.*?)<!-- /figures:simulated -->", text, flags=re.DOTALL)
    assert block is not None
    rows = re.findall(
        r"^\| AUROC (0\.\d+), (.*?) \| [\d.]+ \| ([\d.]+) % \| ([\d.]+) % \|.*\| (\d*) \|$", block[1], re.M
    )
    assert len(rows) > 15 and "1000 simulated trials" in block[1]
    assert all(float(said) <= 1 for auroc, _, said, _, _ in rows if auroc == "0.5")
    assert all(
        float(said) <= 5 and float(missed) <= 5 for auroc, _, said, missed, _ in rows if auroc in ("0.5", "0.55")
    )
    (median,) = (int(median) for auroc, kind, _, _, median in rows if (auroc, kind) == ("0.8", "30 % bad"))
    assert median <= 60
