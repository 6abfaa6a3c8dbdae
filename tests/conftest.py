"""For all tiers: what may be imported, and by which name.

* `emoe_core` is registered under that name from its folder, so that the core tier needs no ComfyUI.
* The pack's root is never on sys.path: it has a `nodes/` of its own, and ComfyUI's `import nodes` would find that one.
* `emoe_host` (scripts/) is importable: the server tier uses the demo's own server and client.

And what a failed test leaves behind (`emoe_testing.artifacts`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path.extend([str(ROOT / "scripts"), str(ROOT / "tests" / "support")])


def _register_emoe_core() -> None:
    folder = ROOT / "emoe_core"
    if "emoe_core" in sys.modules or not (folder / "__init__.py").is_file():
        return
    spec = importlib.util.spec_from_file_location(
        "emoe_core", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["emoe_core"] = module
    spec.loader.exec_module(module)


_register_emoe_core()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps pages and logs of a test that failed, while its fixtures are still there."""
    report = yield
    if report.failed:
        from emoe_testing import artifacts

        artifacts.keep(item.nodeid, getattr(item, "funcargs", {}).values())
    return report
