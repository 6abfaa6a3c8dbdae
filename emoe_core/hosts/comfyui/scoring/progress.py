"""A line of text under the node that runs, where the frontend shows it."""

from __future__ import annotations

import sys

from comfy_execution.utils import get_executing_context

from ....errors import plain


def show_text(text: str) -> None:
    """Show a line under the running node; nothing where no server runs or nobody looks."""
    server_class = getattr(sys.modules.get("server"), "PromptServer", None)  # there inside a server, never started here
    server, context = getattr(server_class, "instance", None), get_executing_context()
    if server is not None and context is not None and server.client_id is not None:
        server.send_progress_text(plain(text), context.node_id, server.client_id)
