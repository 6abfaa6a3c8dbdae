"""What a change runs: made-up changes of the real tree, and a repository of two branches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from emoe_host import ROOT, HostError, changed, check

RULES = {"tests/core/test_rooms.py", "tests/core/test_contract_list.py", "tests/core/test_messages.py"}
"""Tests that read all of the pack's source."""


REAL = changed.Tree()


def run_for(*paths: str, tree: changed.Tree = REAL) -> dict[str, list[str]]:
    return changed.choose(paths, tree).paths


def whole(*tiers: str) -> dict[str, list[str]]:
    return {tier: [f"tests/{tier}"] for tier in tiers}


def test_the_tiers_are_the_folders() -> None:
    assert {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} == set(changed.TIERS)


@pytest.mark.parametrize("path", ["tests/core/test_gate.py", "tests/host/test_card.py", "tests/browser/test_search.py"])
def test_a_test_runs_itself(path: str) -> None:
    assert run_for(path) == {"lint": [], path.split("/")[1]: [path]}


def test_a_test_that_is_gone_runs_nothing() -> None:
    assert run_for("tests/core/test_of_old.py") == {"lint": []}


def test_a_module_runs_the_tests_that_import_it() -> None:
    chosen = run_for("emoe_core/gating/policies.py")
    assert chosen.keys() >= {"lint", "core", "project", "host"}
    assert {"tests/core/test_gate.py", "tests/core/test_learn_then_test.py", *RULES} <= set(chosen["core"])
    assert "tests/project/test_benchmark_calibration.py" in chosen["project"]
    assert not {"tests/core/test_maps.py", "tests/core/test_packed.py"} & set(chosen["core"])


def test_a_module_that_is_imported_through_others_runs_them_too() -> None:
    """`test_decisions` knows nothing of fonts: it draws a picture, which draws charts, which set text."""
    path = "tests/core/test_decisions.py"
    assert "emoe_core/charts/text.py" in REAL.reach(path) - REAL.uses(path)
    assert path in run_for("emoe_core/charts/text.py")["core"]


def test_host_tests_name_modules_as_attributes_and_nodes_by_their_ids() -> None:
    found = run_for("emoe_core/io/kept_scores.py")["host"]  # through `host.calibrating`
    assert "tests/host/test_calibrating.py" in found and "tests/host/test_demo_experts.py" not in found
    found = run_for("nodes/route.py")["host"]
    assert "tests/host/test_schemas.py" in found and "tests/host/test_calibrating.py" not in found


@pytest.mark.parametrize("path", ["nodes/gate.py", "emoe_core/hosts/comfyui/scoring/score.py"])
def test_what_comfyui_sees_runs_on_a_server(path: str) -> None:
    chosen = run_for(path)
    assert chosen["server"] == ["tests/server"] and "tests/host/test_calibrating.py" in chosen["host"]
    assert "browser" not in chosen


def test_a_module_that_is_gone_runs_what_still_imports_it(tmp_path: Path) -> None:
    test = tmp_path / "tests" / "core" / "test_a.py"
    test.parent.mkdir(parents=True)
    test.write_text("from emoe_core.gone import thing\n", "utf-8")
    tree = changed.Tree(tmp_path, ["emoe_core/gone.py"])
    assert run_for("emoe_core/gone.py", tree=tree) == {"lint": [], **whole("core")}


def test_a_module_that_no_test_reaches_runs_all_of_the_core(tmp_path: Path) -> None:
    for path in ("emoe_core/alone.py", "tests/core/test_a.py", "tests/core/test_b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert run_for("emoe_core/alone.py", tree=changed.Tree(tmp_path)) == {"lint": [], **whole("core")}


def test_data_belongs_to_its_package() -> None:
    chosen = run_for("emoe_core/demo/labelled.json")
    assert {"tests/core/test_decisions.py", "tests/core/test_demo_files.py"} <= set(chosen["core"])


def test_scripts_of_the_frontend_run_its_types_and_the_browser() -> None:
    chosen = run_for("web/card.js")
    assert chosen["browser"] == ["tests/browser"] and "lint" in chosen and not {"core", "server"} & chosen.keys()


@pytest.mark.parametrize("path", ["README.ja.md", "docs/gate.md", "CHANGELOG.md", "web/docs/EMoE_Gate.md"])
def test_documents_run_the_projects_tests(path: str) -> None:
    chosen = run_for(path)
    assert chosen["project"] == ["tests/project"] and not {"lint", "core", "browser"} & chosen.keys()


def test_the_python_guide_runs_as_it_stands() -> None:
    assert "tests/host/test_python_guide.py" in run_for("docs/python.md")["host"]


def test_scripts_run_the_projects_tests_and_whoever_imports_them() -> None:
    assert run_for("scripts/emoe_host/lanes.py") == {"lint": [], **whole("project")}
    assert run_for("scripts/emoe_host/server.py").keys() >= {"project", "server", "browser"}


@pytest.mark.parametrize("path", ["pyproject.toml", "requirements/test.lock", "tests/conftest.py", "new/folder.txt"])
def test_what_everything_stands_on_runs_everything(path: str) -> None:
    assert run_for(path).items() >= whole(*changed.TIERS).items()


def test_a_tiers_own_data_runs_the_tier() -> None:
    assert run_for("tests/host/golden_patches.json")["host"] == ["tests/host"]
    assert run_for("tests/server/recorder_nodes/__init__.py")["server"] == ["tests/server"]


def test_it_says_what_runs_and_for_what() -> None:
    paths = [f"tests/core/test_{name}.py" for name in ("card", "gate", "maps", "proof")]
    lines = changed.choose(paths, REAL).lines
    every = len(list((ROOT / "tests" / "core").glob("test_*.py")))
    assert lines[1] == f"core: 4 of {every} test files, for {', '.join(paths[:3])} and 1 more"


# --- what has changed -------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A branch that has left `main`: a file each of what git can say of it, and `main` has gone on too."""

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / name).write_text(text, "utf-8")
        git("add", "-A")
        git("commit", "-q", "-m", "x")

    git("init", "-q", "-b", "main")
    commit(same="1", committed="1", edited="1", staged="1", gone="1", moved="a long enough text")
    git("checkout", "-q", "-b", "work")
    commit(committed="2")
    git("checkout", "-q", "main")
    commit(of_main="1")
    git("checkout", "-q", "work")
    (tmp_path / "edited").write_text("2", "utf-8")
    (tmp_path / "staged").write_text("2", "utf-8")
    (tmp_path / "gone").unlink()
    (tmp_path / ".gitignore").write_text("ignored\n", "utf-8")
    (tmp_path / "ignored").touch()
    git("add", "staged")
    git("mv", "moved", "größe 象")
    return tmp_path


def test_all_that_differs_from_where_the_branch_left(repository: Path) -> None:
    everything = {".gitignore", "committed", "edited", "staged", "gone", "moved", "größe 象"}
    assert set(changed.changed_files(root=repository)) == everything
    assert set(changed.changed_files("main", repository)) == everything
    assert set(changed.changed_files("HEAD", repository)) == everything - {"committed"}


def test_a_ref_that_is_not_there(repository: Path) -> None:
    with pytest.raises(HostError, match=r"git merge-base HEAD no-such failed: .*no-such"):
        changed.changed_files("no-such", repository)
    subprocess.run(["git", "branch", "-q", "-m", "main", "trunk"], cwd=repository, check=True)
    with pytest.raises(HostError, match="no origin/main and no main to compare with; name a ref"):
        changed.changed_files(root=repository)


# --- in the test command ----------------------------------------------------------------------------------------------


def test_the_command_takes_it_with_and_without_a_ref() -> None:
    assert [check.parse(words)[2] for words in ([], ["--changed"], ["--changed", "v1"])] == [None, "", "v1"]
    assert check.parse(["--changed", "--", "-x"])[1:] == (["-x"], "")
    with pytest.raises(SystemExit):
        check.parse(["core", "--changed"])


def test_the_command_runs_the_choice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[object] = []

    def run_parts(host: object, chosen: dict[str, list[str]], args: object) -> dict[str, check.Count]:
        ran.append(chosen)
        return {part: check.Count(passed=1) for part in chosen}

    monkeypatch.setattr(check, "prepare", lambda: check.Host(Path("c"), Path("p"), "0.3.75", "test"))
    monkeypatch.setattr(check, "run_parts", run_parts)
    monkeypatch.setattr(check, "changed_files", lambda ref: ["tests/core/test_gate.py"] if ref == "v1" else [])
    assert check.main(["--changed", "v1"]) == 0
    assert ran == [{"lint": [], "core": ["tests/core/test_gate.py"]}]
    assert "core: 1 of " in capsys.readouterr().err
    assert check.main(["--changed"]) == 0 and len(ran) == 1
    assert "nothing that has changed touches a test" in capsys.readouterr().err
