"""Compares a graph with what a server offers (/object_info), before anything is queued."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import plain
from .workflow import Graph, ObjectInfo, input_spec, is_link, label, told

GATE = "EMoE_Gate"
SHOWN_CHOICES = 8


def findings(graph: Graph, info: ObjectInfo) -> list[str]:
    """What would keep the server from running the graph, one sentence per problem; empty without any."""
    found: list[str] = []
    for node, entry in graph.items():
        class_type = entry["class_type"]
        if class_type not in info:
            found.append(
                f"The server has no node class '{class_type}', which {label(graph, node)} is; install its pack."
            )
            continue
        found.extend(_missing(graph, node, info))
        for name, value in entry["inputs"].items():
            found.extend(_link(graph, node, name, value, info) if is_link(value) else _value(graph, node, name, info))
    if not any(told(info, entry["class_type"], "output_node") for entry in graph.values()):
        found.append(
            "The workflow has no output node, so the server would run nothing; add a Confidence Gate or a Save Image."
        )
    return list(map(plain, found))


def notes(graph: Graph) -> list[str]:
    """What is allowed but probably not meant."""
    if any(entry["class_type"] == GATE for entry in graph.values()):
        return []
    return ["The workflow has no Confidence Gate: its rows will have no verdict and no score."]


def _missing(graph: Graph, node: str, info: ObjectInfo) -> Iterator[str]:
    required = told(info, graph[node]["class_type"], "input", "required")
    for name, spec in required.items() if isinstance(required, Mapping) else ():
        dynamic = isinstance(spec, (list, tuple)) and spec and str(spec[0]).startswith("COMFY_")
        if name not in graph[node]["inputs"] and not dynamic:  # a dynamic input is saved as several, `name.0` and so on
            yield f"The input '{name}' of {label(graph, node)} is missing; connect it or give it a value."


def _link(graph: Graph, node: str, name: str, value: Sequence[Any], info: ObjectInfo) -> Iterator[str]:
    source, slot = value
    if source not in graph:
        yield f"The input '{name}' of {label(graph, node)} is connected to node {source}, which is not in the workflow."
        return
    outputs = told(info, graph[source]["class_type"], "output")
    if isinstance(outputs, (list, tuple)) and not 0 <= slot < len(outputs):
        yield (
            f"The input '{name}' of {label(graph, node)} is connected to output {slot} of {label(graph, source)}, "
            f"which has only {len(outputs)}."
        )


def _value(graph: Graph, node: str, name: str, info: ObjectInfo) -> Iterator[str]:
    value, spec = graph[node]["inputs"][name], input_spec(info, graph[node]["class_type"], name)
    if spec is None:
        return  # ComfyUI ignores inputs it does not know
    kind, options = spec
    where = f"'{name}' of {label(graph, node)}"
    choices = kind if isinstance(kind, (list, tuple)) else options.get("options") if kind == "COMBO" else None
    if isinstance(choices, (list, tuple)):
        open_list = any(key.endswith("_upload") for key in options) or options.get("remote")
        chosen = value if isinstance(value, list) else [value]
        for item in chosen if not open_list else ():
            if item not in choices:
                yield f"The server does not have '{item}' for {where}; it has {_shown(choices)}."
    elif kind in ("INT", "FLOAT"):
        try:
            number = value if isinstance(value, (int, float)) else float(value)  # 10**400 is no float
        except (TypeError, ValueError):
            yield f"'{value}' is not a number, which {where} needs."
            return
        low, high = (limit if isinstance(limit, (int, float)) else None for limit in map(options.get, ("min", "max")))
        if (low is not None and number < low) or (high is not None and number > high):
            yield f"{value} is outside {low} to {high}, the limits of {where}."


def _shown(choices: Sequence[Any]) -> str:
    if not choices:
        return "nothing to choose from"
    more = len(choices) - SHOWN_CHOICES
    return ", ".join(map(str, choices[:SHOWN_CHOICES])) + (f" and {more} more" if more > 0 else "")
