"""A line of text below the running node, where the frontend shows it."""

import sys

from comfy_execution.utils import get_executing_context

from ....errors import plain


def show_text(text: str) -> None:
    """Shows a line below the running node; does nothing without a server or a client."""
    # It exists inside a server, and is never started here.
    server_class = getattr(sys.modules.get("server"), "PromptServer", None)
    server, context = getattr(server_class, "instance", None), get_executing_context()
    if server is not None and context is not None and server.client_id is not None:
        server.send_progress_text(plain(text), context.node_id, server.client_id)
