"""The demo's trial: prompts by rule, the commands in their order, and what is written of it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from emoe_host import HostError, prove_demo
from emoe_host.prepare import Host

LISTS = json.loads(prove_demo.PROMPTS.read_text("utf-8"))


def test_the_prompts_are_every_fourth_of_those_that_the_validity_page_takes(tmp_path: Path) -> None:
    chosen = prove_demo.choose_prompts(10)
    assert len(chosen) == 10 * len(prove_demo.GROUPS) == 170
    for group in prove_demo.GROUPS:
        forty = [LISTS[group][i * len(LISTS[group]) // 40] for i in range(40)]
        assert [prompt for prompt, of in chosen if of == group] == forty[::4]
    prove_demo.write_prompts(tmp_path / "p.csv", 2)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["prompt"], row["group"]) for row in rows] == prove_demo.choose_prompts(2)


def test_too_few_prompts_are_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="prompts in the group 'fresh'; the trial needs 500"):
        prove_demo.choose_prompts(500)
    with pytest.raises(HostError, match="cannot be read"):
        prove_demo.choose_prompts(1, tmp_path / "none.json")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, Path(sys.executable), "0", "yours")


class Quiet:
    """Stands for the server."""

    url = "http://127.0.0.1:1"

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("page", [{"auroc": {"value": 0.9}, "pictures": 3, "sentence": "So.", "rule": "proved"}, {}])
def test_the_commands_run_in_order_and_the_pages_figures_are_handed_on(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch, page: dict[str, Any]
) -> None:
    ran: list[tuple[str, ...]] = []

    def command(_: Host, *words: Any) -> float:
        ran.append(tuple(map(str, words)))
        if words[0] == "page":
            (tmp_path / "out" / "trial.json").write_text(json.dumps(page))
        return 1.0

    monkeypatch.setattr(prove_demo, "Server", Quiet)
    monkeypatch.setattr(prove_demo, "command", command)
    monkeypatch.setattr(prove_demo, "prepare", lambda: host)
    code = prove_demo.main(["--json", str(tmp_path / "x.json"), "--output", str(tmp_path / "out"), "--each", "1"])
    assert [words[0] for words in ran] == ["draw", "judge", "page"]
    assert all(words[words.index("--trial") + 1] == str(tmp_path / "out" / "demo.sqlite3") for words in ran)
    assert code == (0 if page else 2)
    if page:
        told = json.loads((tmp_path / "x.json").read_text())
        assert {name: told[name] for name in prove_demo.TOLD} == page and told["seconds"]["draw"] == 1.0


def test_a_command_that_fails_ends_it(host: Host) -> None:
    with pytest.raises(HostError, match="'prove nothing' ended with exit code 2"):
        prove_demo.command(host, "nothing")
