"""Files in ComfyUI's output folder, named the way its own save nodes name theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folder_paths


def save_json(content: dict[str, Any], filename_prefix: str) -> dict[str, str]:
    """Write a JSON file and give the entry that clients look it up by: filename, subfolder and type."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        filename_prefix, folder_paths.get_output_directory()
    )
    filename = f"{name}_{counter:05}_.json"
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    (Path(folder) / filename).write_text(text, encoding="utf-8")
    return {"filename": filename, "subfolder": subfolder, "type": "output"}
