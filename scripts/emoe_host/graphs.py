"""Reads the example workflows in API format and fills in a prompt; finds nodes by what they are, never by their number."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

from . import ROOT, HostError

API_FOLDER = ROOT / "example_workflows" / "api"
Graph = dict[str, dict[str, Any]]


def load(name: str, folder: Path = API_FOLDER) -> Graph:
    """An example workflow by name."""
    path = folder / f"{name}.json"
    try:
        graph = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise HostError(f"the example workflow {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise HostError(f"the example workflow {path} is not JSON ({error}).") from error
    if not isinstance(graph, dict) or not all("class_type" in node for node in graph.values()):
        raise HostError(f"the example workflow {path} is not in API format.")
    return graph


def ids_of(graph: Graph, class_type: str) -> list[str]:
    return [node_id for node_id, node in graph.items() if node["class_type"] == class_type]


def only(graph: Graph, class_type: str) -> str:
    """The id of the one node of a class."""
    found = ids_of(graph, class_type)
    if len(found) != 1:
        raise HostError(f"the workflow should have one {class_type} node and has {len(found)}.")
    return found[0]


def set_prompt(graph: Graph, text: str) -> None:
    """Puts `text` where Encode for Experts takes it from: into its own field, or into the text node linked to it.

    Text encoders that held the same words as the field (the same prompt for a sampler's own CLIP) get the new ones.
    """
    encode = graph[only(graph, "EMoE_EncodeForExperts")]["inputs"]
    if isinstance(encode["text"], list):
        source = graph[encode["text"][0]]
        fields = [key for key, value in source["inputs"].items() if isinstance(value, str)]
        if len(fields) != 1:
            raise HostError(f"the prompt comes from a {source['class_type']} node, which has no single text field.")
        source["inputs"][fields[0]] = text
        return
    before, encode["text"] = encode["text"], text
    for node in ids_of(graph, "CLIPTextEncode"):
        if before and graph[node]["inputs"].get("text") == before:
            graph[node]["inputs"]["text"] = text


def file_safe(text: str, limit: int = 40) -> str:
    """A prompt as part of a file name, in any script."""
    return re.sub(r"[^\w]+", "-", text).strip("-")[:limit] or "prompt"


def filled(graph: Graph, text: str, prefix: str, preset: str | None = None) -> Graph:
    """A copy of the graph for one prompt, its files named after `prefix`."""
    graph = copy.deepcopy(graph)
    set_prompt(graph, text)
    for class_type, ending in (("SaveImage", ""), ("EMoE_Gate", "-verdict")):
        for node in ids_of(graph, class_type):
            graph[node]["inputs"]["filename_prefix"] = prefix + ending
    if preset is not None:
        for node in ids_of(graph, "EMoE_Score"):
            graph[node]["inputs"]["preset"] = preset
    return graph
