"""ComfyUI's own reader of pyproject.toml understands ours."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_comfyui_reads_the_pyproject(comfyui: Path) -> None:
    from comfy_config import config_parser

    found = config_parser.extract_node_configuration(str(ROOT))
    assert found is not None
    assert (found.project.name, found.tool_comfy.display_name) == ("emoe", "EMoE")
    assert found.project.dependencies == [] and found.project.supported_comfyui_version == ">=0.3.75"
