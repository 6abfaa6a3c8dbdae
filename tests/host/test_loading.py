"""The pack loads in ComfyUI the way ComfyUI does it, and hides nothing of the host's."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_pack_loads_and_registers_its_nodes(node_classes: dict[str, type]) -> None:
    assert node_classes and all(name.startswith("EMoE_") for name in node_classes)


def test_comfyuis_own_nodes_module_is_the_one_imported(pack, comfyui: Path) -> None:
    import nodes

    assert Path(nodes.__file__).resolve() == (comfyui / "nodes.py").resolve()
    assert "KSampler" in nodes.NODE_CLASS_MAPPINGS


def test_the_packs_root_is_not_importable(pack) -> None:
    assert ROOT not in {Path(entry or ".").resolve() for entry in sys.path}
