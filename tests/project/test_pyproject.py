"""The Comfy Registry's rules for pyproject.toml, and what the files beside it promise."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_name_and_version_are_what_the_registry_takes() -> None:
    project = PYPROJECT["project"]
    assert re.fullmatch(r"[a-z][a-z0-9_-]{0,99}", project["name"]) and "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["urls"]["Repository"].startswith("https://") and project["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")


def test_nothing_of_the_hosts_can_be_moved_by_installing_the_pack() -> None:
    assert PYPROJECT["project"]["dependencies"] == [] and not (ROOT / "requirements.txt").exists()
    assert not (ROOT / "install.py").exists()


def test_the_comfy_section_is_complete() -> None:
    comfy = PYPROJECT["tool"]["comfy"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "EMoE" and comfy["requires-comfyui"] == ">=0.3.75"
    assert "web" not in comfy, "WEB_DIRECTORY names the folder; naming it twice registers it twice"


def tracked(folder: str = ".") -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.rstrip("\0").split("\0")


def test_the_registry_gets_the_pack_and_nothing_else() -> None:
    """`comfy node publish` packs what is tracked and not ignored: a new folder must be decided on."""
    ignored = {name.rstrip("/") for name in (ROOT / ".comfyignore").read_text("utf-8").split()}
    assert {path.split("/")[0] for path in tracked()} - ignored == {
        *("__init__.py", "emoe_core", "nodes", "web", "locales", "example_workflows", "subgraphs"),
        *("docs", "README.md", "README.ja.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "pyproject.toml"),
        *(".comfyignore", ".gitignore"),
    }
    assert not [name for name in ignored if name.startswith(("emoe_core/", "nodes/", "web/"))], (
        "the pack reads its own files"
    )


def test_every_data_file_goes_into_the_wheel() -> None:
    patterns = [*PYPROJECT["tool"]["setuptools"]["package-data"]["*"], "*.py"]
    names = {path: path.rsplit("/", 1)[1] for path in tracked("emoe_core")}
    assert [path for path, name in names.items() if not any(fnmatch(name, one) for one in patterns)] == []
    notices = [path for path in names if path.endswith("/NOTICE") or "/licences/" in path]
    listed = {str(path.relative_to(ROOT)) for one in PYPROJECT["project"]["license-files"] for path in ROOT.glob(one)}
    assert notices and set(notices) <= listed


def test_no_tracked_text_names_a_machine_or_a_package_host() -> None:
    """Settings of one place have no business in the project."""
    found = subprocess.run(
        ["git", "grep", "-nIE", r"(--index-url|--extra-index-url|--find-links|/home/[a-z]+/|/(root|work)/)", "--", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = [line for line in found.stdout.splitlines() if not line.startswith("tests/project/test_pyproject.py:")]
    assert found.returncode in (0, 1) and lines == []
