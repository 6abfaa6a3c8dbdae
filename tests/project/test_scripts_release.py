"""The scripts behind the workflows: an environment for any ComfyUI, and when a commit is a release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from emoe_host import HostError, environment, release

ROOT = Path(__file__).resolve().parents[2]


def test_a_tree_decides_on_its_own_packages_and_the_lock_on_the_others() -> None:
    tree = "torch\ncomfyui-frontend-package==1.49.6\nSQLAlchemy>=2.0\n# a comment\nav>=14.2\n\nnew-thing\n"
    wanted = "# tools\ntorch==2.14.1\ncomfyui_frontend_package==1.32.9\nsqlalchemy\nruff\nmypy\nunlocked # why\n"
    lock = "# head\nmypy==1.2.3\nRuff==0.15.0\ntorch==2.14.1\n"
    assert environment.beside(tree, wanted, lock) == ["Ruff==0.15.0", "mypy==1.2.3", "unlocked"]


def test_the_projects_own_list_brings_the_tools_in_their_pinned_versions() -> None:
    found = environment.beside("torch\n", environment.SOURCE.read_text("utf-8"), environment.LOCK.read_text("utf-8"))
    assert {environment.name_of(line) for line in found} >= {"pytest", "ruff", "mypy", "playwright", "diffusers"}
    assert all("==" in line for line in found) and not any(line.startswith("torch==") for line in found)


def test_an_environment_for_what_is_no_comfyui_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert environment.main([str(tmp_path), str(tmp_path / "env")]) == 2
    assert "is not a ComfyUI: it has no main.py" in capsys.readouterr().err


def test_one_that_is_up_to_date_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "comfyui"
    (tree / "comfy").mkdir(parents=True)
    for name in ("main.py", "nodes.py"):
        (tree / name).touch()
    (tree / "comfyui_version.py").write_text('__version__ = "0.33.0"\n')
    (tree / "requirements.txt").write_text("torch\n")
    ran: list[list[str]] = []

    def run(command: list[str], *_: object) -> None:
        ran.append(command)
        if "venv" in command:
            python = environment.venv_python(tmp_path / "env")
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(environment, "run_logged", run)
    first = environment.make(tree, tmp_path / "env")
    assert [command[2] for command in ran] == [
        "venv",
        "pip",
        "import torch, torchvision, transformers, aiohttp, pytest",
    ]
    assert environment.make(tree, tmp_path / "env") == first and len(ran) == 3
    (tree / "requirements.txt").write_text("torch\nav\n")  # the tree moved on: packages are added, the venv stays
    environment.make(tree, tmp_path / "env")
    assert len(ran) == 5


def project(folder: Path, version: str, package: str | None = None, heading: str | None = None) -> None:
    (folder / "emoe_core").mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "emoe"\nversion = "{version}"\n\n[tool.x]\nversion = "9"\n', "utf-8"
    )
    (folder / "emoe_core" / "__init__.py").write_text(f'__version__ = "{package or version}"\n', "utf-8")
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{heading or version}]\n", "utf-8")


def commit(folder: Path) -> str:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_another_version_is_a_release_and_the_same_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, "0.1.0")
    before = commit(tmp_path)
    output = tmp_path / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    assert release.main([before], tmp_path) == 0 and output.read_text() == "publish=false\n"
    project(tmp_path, "0.2.0")
    assert release.main([before], tmp_path) == 0 and output.read_text().endswith("publish=true\n")
    assert release.main(["0" * 40], tmp_path) == 0 and release.main([], tmp_path) == 0
    assert capsys.readouterr().out.split() == ["publish=false", *["publish=true"] * 3]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"package": "0.1.0"}, "emoe_core/__init__.py"), ({"heading": "Unreleased"}, "no heading [0.2.0]")],
)
def test_a_release_that_is_not_whole_is_refused(
    tmp_path: Path, wrong: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, "0.2.0", **wrong)
    assert release.main([], tmp_path) == 2
    assert says in capsys.readouterr().err


def test_a_project_without_a_version_is_refused() -> None:
    with pytest.raises(HostError, match="no version"):
        release.version_of('[project]\nname = "emoe"\n\n[tool.x]\nversion = "9"\n')
    assert release.version_of((ROOT / "pyproject.toml").read_text("utf-8")).count(".") == 2
