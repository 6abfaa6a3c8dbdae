"""docs/python.md runs as it stands, in a folder that has the files it names, and prints what it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from emoe_core import demo
from emoe_core.__main__ import main
from emoe_core.hosts.diffusers import demo_experts

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two demo experts under the guide's names: as single files, as a folder of configurations, as whole pipelines."""
    import diffusers

    for name, path in zip(("one", "two"), demo.expert_files(), strict=False):
        shutil.copy(path, tmp_path / f"{name}.safetensors")
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    for name, expert in zip(("one", "two"), demo_experts().experts, strict=False):
        pipeline = expert.clip.pipeline
        pipeline.register_modules(vae=vae)
        pipeline.save_pretrained(tmp_path / f"sd15_{name}")
    shutil.copytree(tmp_path / "sd15_one", tmp_path / "sd15", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "prompts.csv").write_text("prompt\na sunflower\nxchtgg\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "emoe_core"]
    return words[3:]


def test_the_guide_runs_as_it_stands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "emoe_core" in sys.modules
    namespace: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "docs/python.md", "exec"), namespace)  # noqa: S102 (the guide is what is tested)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("uncertainty 0.095") and printed[1].startswith(("pass: p = ", "block: p = "))
    assert len(printed) == 3 and (folder / "mine.json").is_file() and namespace["image"].size == (128, 128)  # type: ignore[attr-defined]

    install, with_demo, with_files = (block.strip() for block in blocks("bash"))
    assert install == 'pip install ".[diffusers]"'
    assert main(command(with_demo)) == 0
    shown = blocks("text")[0].splitlines()
    for line, expected in zip(capsys.readouterr().out.splitlines(), shown, strict=True):
        assert re.sub(r"\d+\.\d+", "#", line) == re.sub(r"\d+\.\d+", "#", expected)
        numbers, wanted = ([float(n) for n in re.findall(r"\d+\.\d+", text)] for text in (line, expected))
        assert numbers == pytest.approx(wanted, rel=1e-3)
    assert main(command(with_files)) == 0
    assert len((folder / "results.jsonl").read_text("utf-8").splitlines()) == 2
