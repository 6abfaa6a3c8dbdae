"""The engine ray: a real cluster of two workers on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from emoe_testing.scorers import DigestSource

from emoe_core.audit import cluster
from emoe_core.audit.engine import run
from emoe_core.audit.plan import read_plan

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_two_workers_give_the_same_table_and_score_every_prompt_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))  # the workers import the scorer
    lines = [f"word{i}\t{'ab'[i % 2]}" for i in range(400)]
    (tmp_path / "p.tsv").write_text("\n".join(["prompt\tletter", *lines]), encoding="utf-8")
    plan = read_plan(tmp_path / "p.tsv")
    (tmp_path / "log").mkdir()
    source, told = DigestSource(str(tmp_path / "log"), together=2), list[int]()
    with cluster.run(plan, source, tmp_path / "ray", 2, progress=lambda done, *_: told.append(done)) as store:
        with run(plan, source.scorer(), tmp_path / "local") as local:
            assert list(store.prompts()) == list(local.prompts())
        assert told[-1] == store.done() == 400
    logs = {path.stem: path.read_text().splitlines() for path in (tmp_path / "log").iterdir()}
    local_log = logs.pop(str(os.getpid()))
    assert len(local_log) == 401
    scored = [line for log in logs.values() for line in log if line != "made"]
    assert sorted(scored) == sorted(f"word{i}" for i in range(400))
    busy = [log for log in logs.values() if len(log) > 1]
    assert len(busy) == 2 and all(log.count("made") == 1 for log in busy)
