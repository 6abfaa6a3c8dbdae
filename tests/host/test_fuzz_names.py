"""Names of any letters: a place inside the folder that they are for, or one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from emoe_testing.fuzz import JSON, TEXT, bounded, one_sentence
from hypothesis import example, given
from hypothesis import strategies as st

PIECES = st.lists(
    st.sampled_from(
        ("..", ".", "/", "\\", "~", "~nosuch", "way_out", "in.csv", "\0", "\ud800", "C:", "\u6f22" * 90, " ")
    )
)
NAMES = st.one_of(TEXT, PIECES.map("".join), PIECES.map("/".join))


def outcome(pack: Any, make: Any) -> Any:
    """What comes of it; None where it is refused in one sentence."""
    with bounded():
        try:
            return make()
        except pack.emoe_core.errors.EMoEError as error:
            one_sentence(error)
            return None


@pytest.fixture(scope="module")
def folders(comfyui: Path) -> Iterator[Path]:
    """An input folder with a file and with links that lead out of it."""
    import folder_paths

    before = folder_paths.get_input_directory()
    with TemporaryDirectory() as made:
        base = Path(made).resolve() / "input"
        base.mkdir()
        (base / "in.csv").write_text("prompt\nhorse\n", encoding="utf-8")
        (base.parent / "secret.csv").write_text("prompt\nhorse\n", encoding="utf-8")
        (base / "way_out").symlink_to(base.parent)
        folder_paths.set_input_directory(str(base))
        yield base
        folder_paths.set_input_directory(before)


@given(NAMES | JSON)
@example("in.csv")
@example("way_out/secret.csv")
@example("../secret.csv")
@example("~nosuch/x.csv")
@example("~/x")
@example("a\0b")
@example("x" * 1_000_000)
@example("/dev/zero")
@example(None)
@example(["in.csv"])
def test_a_file_that_a_graph_names_lies_in_the_input_folder(pack: Any, host: Any, folders: Path, name: Any) -> None:
    found = outcome(pack, lambda: host.input_files.input_file(name, "A node's file"))
    assert found is None or (found.is_file() and found.resolve().is_relative_to(folders))
    assert host.input_files.state(name, "A node's file") == "missing" or found is not None
    if name == "in.csv":
        assert found == folders / "in.csv"


@given(NAMES | JSON)
@example("good name, 1 (2) + 3")
@example("\u6f22" * 100)
@example(None)
@example(["a"])
@example("../x")
@example("embedding:\ud800")
def test_a_calibrations_name_is_a_file_in_its_folder(pack: Any, host: Any, name: Any) -> None:
    found = outcome(pack, lambda: host.calibrating.path_of(name))
    assert found is None or found.parent == host.calibrating.folder() and found.stem == name


@given(NAMES | JSON, st.lists(TEXT, max_size=3))
@example(None, [])
@example({"__value__": ["a"]}, ["a"])
def test_a_name_that_no_list_has_is_refused_in_one_sentence(pack: Any, name: Any, known: list[str]) -> None:
    with bounded():
        said = pack.nodes.shown.refused(name, known, "The file", "there")
    if name is None or name in known:
        assert said is None
    else:
        one_sentence(pack.emoe_core.errors.EMoEError(said))
        assert len(said) < 1000
