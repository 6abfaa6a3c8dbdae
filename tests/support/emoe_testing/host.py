"""The ComfyUI that the tests of live servers run in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emoe_host.prepare import Host, comfyui_version


def tested() -> Host:
    """The one that COMFYUI_PATH names, in the Python that runs the tests."""
    tree = Path(os.environ["COMFYUI_PATH"])
    return Host(tree, Path(sys.executable), comfyui_version(tree), "the tests' own")
