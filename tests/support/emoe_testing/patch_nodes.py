"""Every node of the host that puts something into a MODEL, found by its inputs and outputs, with its own defaults."""

from __future__ import annotations

import asyncio
from typing import Any


def patch_nodes() -> dict[str, dict[str, Any]]:
    """The arguments of each node that makes one MODEL of one MODEL and plain values, by the node's id."""
    import nodes

    if "FreeU" not in nodes.NODE_CLASS_MAPPINGS:
        asyncio.run(nodes.init_builtin_extra_nodes())
    found = {name: _arguments(cls) for name, cls in sorted(nodes.NODE_CLASS_MAPPINGS.items()) if _makes_one_model(cls)}
    return {name: arguments for name, arguments in found.items() if arguments is not None}


def patched(name: str, model: Any, arguments: dict[str, Any]) -> Any:
    """The MODEL that a node makes of this one."""
    import nodes

    cls: Any = nodes.NODE_CLASS_MAPPINGS[name]
    inputs = cls.INPUT_TYPES()["required"]
    given = {key: model if kind[0] == "MODEL" else arguments[key] for key, kind in inputs.items()}
    made = cls.execute(**given) if hasattr(cls, "define_schema") else getattr(cls(), cls.FUNCTION)(**given)
    outputs = made.result if hasattr(made, "result") else made
    return next(one for one in outputs if hasattr(one, "model_options"))


def _makes_one_model(cls: Any) -> bool:
    if getattr(cls, "RELATIVE_PYTHON_MODULE", "").startswith("custom_nodes"):
        return False
    inputs = cls.INPUT_TYPES()
    given = [kind[0] for group in ("required", "optional") for kind in inputs.get(group, {}).values()]
    return given.count("MODEL") == 1 and "MODEL" in cls.RETURN_TYPES


def _arguments(cls: Any) -> dict[str, Any] | None:
    found = {}
    for key, (kind, *rest) in cls.INPUT_TYPES().get("required", {}).items():
        options = rest[0] if rest else {}
        if kind == "MODEL":
            continue
        choices = kind if isinstance(kind, list) else options.get("options", [])
        if "default" in options:
            found[key] = options["default"]
        elif choices:
            found[key] = choices[0]
        else:
            return None  # needs something that is no plain value
    return found
