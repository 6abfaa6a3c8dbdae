"""A test that failed leaves its pages and its servers' logs where EMOE_ARTIFACTS names a folder, and nothing elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from emoe_testing import artifacts


class Page:
    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def screenshot(self, path: str) -> None:
        if self.fails:
            raise RuntimeError("the page is closed")
        Path(path).write_bytes(b"png")


def things(tmp_path: Path) -> list[Any]:
    log = tmp_path / "server.log"
    log.write_text("a line")
    frontend = SimpleNamespace(page=Page(), server=SimpleNamespace(log=log))
    return [Page(fails=True), frontend, 3, None, tmp_path]


def test_pages_and_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kept"
    monkeypatch.setenv("EMOE_ARTIFACTS", str(folder))
    artifacts.keep("tests/browser/test_x.py::test_it[nodes 2]", things(tmp_path))
    name = "tests_browser_test_x.py_test_it_nodes_2_"
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.log", f"{name}.png"]


def test_nothing_is_kept_where_nobody_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMOE_ARTIFACTS", raising=False)
    artifacts.keep("test", things(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["server.log"]
