"""Scripts as modules: what lies outside of every package, such as a benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def script(path: Path, name: str) -> ModuleType:
    """The script, run as a module of this name. It stays in `sys.modules`, where its dataclasses look it up."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
