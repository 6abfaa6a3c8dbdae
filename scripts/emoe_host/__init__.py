"""Getting, starting and talking to a real ComfyUI, for the demo and the tests.

`prepare`, `server`, `check` and `lock` need the standard library only; `client` runs in the prepared environment, which
has aiohttp.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The node pack: the folder that ComfyUI sees as a custom node."""


class HostError(RuntimeError):
    """A problem that the person at the keyboard can fix; the message is one sentence that says how."""
