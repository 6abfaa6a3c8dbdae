"""Writes a family's checkpoints: `write.py FAMILY FOLDER NAME [NAME ...]`. They descend from the first."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

from checkpoints import checkpoint_shapes, write_checkpoint  # noqa: E402
from common import FAMILIES, comfyui  # noqa: E402


def main() -> None:
    family, folder, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with comfyui():
        shapes = dict(checkpoint_shapes(FAMILIES[family], vae=family != "tiny"))
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write_checkpoint, Path(folder) / name, shapes, n) for n, name in enumerate(names)]:
            done.result()


if __name__ == "__main__":
    main()
