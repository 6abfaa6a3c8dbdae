"""Getting, starting and talking to a real ComfyUI, for the demo and the tests.

`prepare`, `server`, `check` and `lock` need the standard library only; `client` runs in the prepared environment, which
has aiohttp.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The node pack: the folder that ComfyUI sees as a custom node."""


def device_flags() -> tuple[str, ...]:
    """ComfyUI's flags for the device: the processor, or with EMOE_DEVICE=card the graphics card that it finds."""
    return () if os.environ.get("EMOE_DEVICE") == "card" else ("--cpu",)


class HostError(RuntimeError):
    """A problem that the person at the keyboard can fix; the message is one sentence that says how."""


def exit_code(work: Callable[[], int]) -> int:
    """What a script ends with: the work's own code, 2 with a sentence for a `HostError`, 130 for Ctrl-C."""
    try:
        return work()
    except HostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
