"""What the contract asks of ComfyUI's server. It is read from the source, because importing it would start half a server."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .entries import Host

#: Used by the batch command, the ledger, the audit and the pack's widgets.
ROUTES = (
    ("get", "/ws"),
    ("get", "/object_info"),
    ("get", "/history"),
    ("get", "/history/{prompt_id}"),
    ("get", "/queue"),
    ("post", "/prompt"),
)
_ARGUMENTS = ["self", "text", "node_id", "sid"]


def routes(host: Host) -> str | None:
    """Whether server.py has every route, and the call that shows a line below a node."""
    tree = ast.parse(host.text("server.py"))
    found = {route for node in ast.walk(tree) if (route := _route(node)) is not None}
    if missing := [f"{method.upper()} {path}" for method, path in ROUTES if (method, path) not in found]:
        return f"this ComfyUI's server has no {missing[0]}"
    shown = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "send_progress_text"]
    if not shown:
        return "this ComfyUI's server has no send_progress_text"
    given = [argument.arg for argument in shown[0].args.args]
    if given[: len(_ARGUMENTS)] != _ARGUMENTS:
        return f"this ComfyUI's send_progress_text takes ({', '.join(given)})"
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if "client_id" not in names or "instance" not in names:
        return "this ComfyUI's PromptServer has no instance or no client_id"
    return None


def _route(node: ast.AST) -> tuple[str, str] | None:
    """Method and path of a decorator such as routes.get("/queue")."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
        return None
    called, path = node.func, node.args[0]
    if isinstance(called.value, ast.Name) and called.value.id == "routes" and isinstance(path, ast.Constant):
        return called.attr, str(path.value)
    return None
