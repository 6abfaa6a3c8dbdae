"""Scripts as modules: what lies outside of every package, such as a benchmark."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def benchmarks(*own: str) -> Iterator[None]:
    """The folder `benchmarks` is importable meanwhile, and the pack's root. Of its modules, `own` are forgotten at the end."""
    before, others = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]
    yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name not in others and name.split(".")[0] in own]:
        del sys.modules[name]


def script(path: Path, name: str) -> ModuleType:
    """The script, run as a module of this name. It stays in `sys.modules`, where its dataclasses look it up."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
