"""Which files a graph may name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def folder(comfy_base: Any) -> Path:
    import folder_paths

    path = Path(folder_paths.get_input_directory())
    (path / "deep").mkdir(parents=True, exist_ok=True)
    (path / "deep" / "a.csv").write_text("prompt\nhorse\n", encoding="utf-8")
    (path.parent / "outside.csv").write_text("prompt\nhorse\n", encoding="utf-8")
    return path


@pytest.fixture
def files(pack: ModuleType) -> Any:
    return pack.emoe_core.hosts.comfyui.input_files


def test_inside_by_any_name(folder: Path, files: Any) -> None:
    for name in ("deep/a.csv", " deep/a.csv ", "deep/../deep/a.csv", str(folder / "deep" / "a.csv")):
        assert files.input_file(name, "N") == (folder / "deep" / "a.csv").resolve()


@pytest.mark.parametrize(
    "name",
    ["", " ", None, 7, ["a"], {"a": 1}, "a\0.csv", "../outside.csv", "deep/../../outside.csv", "~/x.csv", "~nosuch/x.csv",
     "/dev/full", "deep", "nothing.csv", "x" * 100_000, "a\ud800.csv", "/" + "../" * 2000],
)  # fmt: skip
def test_all_else_is_one_sentence(folder: Path, files: Any, pack: ModuleType, name: Any) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="^N is ") as caught:
        files.input_file(name, "N")
    assert "\n" not in str(caught.value)
    assert files.state(name, "N") == "missing"


def test_whoever_starts_the_server_may_allow_full_paths(
    folder: Path, files: Any, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = folder.parent / "outside.csv"
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="not in ComfyUI's input folder"):
        files.input_file(str(outside), "N")
    monkeypatch.setenv(files.ALLOW, "1")
    assert files.input_file(str(outside), "N") == outside
    assert files.input_file("../outside.csv", "N").samefile(outside)
    for name in ("~nosuch/x.csv", "/dev/full", "a\0b"):
        with pytest.raises(pack.emoe_core.errors.EMoEError, match="^N is "):
            files.input_file(name, "N")
