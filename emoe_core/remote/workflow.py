"""A workflow saved in API format, and which of its inputs a row of the prompt file fills."""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import read_regular
from ..io.json_text import parse
from ..prompts import PromptRow

Graph = dict[str, dict[str, Any]]
ObjectInfo = Mapping[str, Any]

PROMPT = "prompt"
ENCODER = "EMoE_EncodeForExperts"
TEXT_INPUTS = ("value", "text", "prompt", "string")  # where a node that is nothing but a text may keep it
#: Nodes whose output is the text of one input, as it is.
TEXT_NODES = {
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "EMoE_PromptList": "prompts",
    "ShowText|pysssss": "text",
}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Target:
    """A column and the input it fills."""

    column: str
    node: str
    input: str


def load_workflow(path: str | Path) -> Graph:
    """Reads a workflow in API format; otherwise an `EMoEError` names what the file is."""
    try:
        data = parse(read_regular(Path(path), "utf-8-sig"))
    except OSError as error:
        raise EMoEError(f"The workflow '{path}' cannot be read ({error.strerror}); check the path.") from error
    except ValueError as error:
        raise EMoEError(f"The workflow '{path}' is not JSON ({error}); export it again.") from error
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        raise EMoEError(
            f"The workflow '{path}' is saved for the canvas; in ComfyUI choose Export (API) and use that file."
        )
    if isinstance(data, dict) and isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        data = data["prompt"]  # the body of a POST /prompt
    if not isinstance(data, dict) or not data or not all(_is_node(node) for node in data.values()):
        raise EMoEError(f"The workflow '{path}' is not in ComfyUI's API format; in ComfyUI choose Export (API).")
    return {str(name): node for name, node in data.items()}


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def is_link(value: object) -> bool:
    """Whether an input's value is another node's output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def title(graph: Graph, node: str) -> str:
    """The name that a person gave the node, or its class."""
    meta = graph[node].get("_meta")
    given = meta.get("title") if isinstance(meta, dict) else None
    return str(given or graph[node]["class_type"])


def label(graph: Graph, node: str) -> str:
    """For messages: title and id."""
    return f"'{title(graph, node)}' (node {node})"


def told(info: ObjectInfo, *steps: str) -> Any:
    """What /object_info has at a place; None where it has nothing: a server may answer anything."""
    found: Any = info
    for step in steps:
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def input_spec(info: ObjectInfo, class_type: str, name: str) -> tuple[Any, Mapping[str, Any]] | None:
    """Type (or list of choices) and options of an input, from /object_info; None when that does not know it."""
    for group in ("required", "optional"):
        spec = told(info, class_type, "input", group, name)
        if isinstance(spec, (list, tuple)) and spec:
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            return spec[0], options
    return None


# --- which input a column fills ---------------------------------------------------------------------------------------


def find_targets(graph: Graph, assignments: Sequence[str], info: ObjectInfo) -> list[Target]:
    """The targets of `--set COLUMN=NODE.INPUT`, and the prompt's own target when no assignment names it."""
    targets = [_assigned(graph, text, info) for text in assignments]
    if not any(is_prompt_column(target.column) for target in targets):
        targets.insert(0, prompt_target(graph))
    seen: dict[tuple[str, str], Target] = {}
    for target in targets:
        other = seen.setdefault((target.node, target.input), target)
        if other is not target:
            where = f"'{target.input}' of {label(graph, target.node)}"
            raise EMoEError(f"The columns '{other.column}' and '{target.column}' both fill {where}; leave one out.")
    return targets


def is_prompt_column(column: str) -> bool:
    return column.strip().lower() == PROMPT


def _assigned(graph: Graph, text: str, info: ObjectInfo) -> Target:
    column, equals, place = text.partition("=")
    column, place = column.strip(), place.strip()
    if not (equals and column and "." in place):
        raise EMoEError(
            f"--set '{text}' cannot be understood; write COLUMN=NODE.INPUT, for example seed=KSampler.seed."
        )
    return input_target(graph, column, place, info, f"--set '{text}'")


def input_target(graph: Graph, column: str, place: str, info: ObjectInfo, who: str) -> Target:
    """The target that `place`, NODE.INPUT, names; an `EMoEError` that begins with `who` where there is none."""
    cuts = [index for index, letter in enumerate(place) if letter == "." and 0 < index < len(place) - 1]
    found = [(place[:cut], place[cut + 1 :]) for cut in cuts if _matches(graph, place[:cut])]
    if not found:
        known = ", ".join(sorted({title(graph, node) for node in graph}))
        raise EMoEError(f"{who} names a node that the workflow does not have; its nodes are {known}.")
    for name, entry in found:
        node = _one_node(graph, name, who)
        class_type = graph[node]["class_type"]
        if entry in graph[node]["inputs"] or input_spec(info, class_type, entry) is not None:
            return Target(column, node, entry)
    name, entry = found[-1]
    node = _one_node(graph, name, who)
    known = ", ".join(graph[node]["inputs"]) or "none"
    raise EMoEError(
        f"{who} names an input that {label(graph, node)} does not have ('{entry}'); its inputs are {known}."
    )


def _titled(graph: Graph, name: str) -> list[str]:
    """Ids of the nodes with this title, or with it in another case."""
    exact = [node for node in graph if title(graph, node) == name]
    return exact or [node for node in graph if title(graph, node).lower() == name.lower()]


def _matches(graph: Graph, name: str) -> list[str]:
    """Ids of the nodes that `name` may mean: an id, else a title, else a class, where `Gate` also means `EMoE_Gate`.

    A title that nobody chose is the node's name in the language of the frontend that saved the workflow; its class is the
    same everywhere.
    """
    if name in graph:
        return [name]
    return _titled(graph, name) or [n for n in graph if graph[n]["class_type"] in (name, f"EMoE_{name}")]


def node_named(graph: Graph, name: str, who: str) -> str:
    """The id of the node that `name` may mean; an `EMoEError` that begins with `who` where none or several do."""
    if not _matches(graph, name):
        known = ", ".join(sorted({title(graph, node) for node in graph}))
        raise EMoEError(f"{who} names a node that the workflow does not have; its nodes are {known}.")
    return _one_node(graph, name, who)


def upstream(graph: Graph, node: str) -> set[str]:
    """A node and all nodes that it depends on."""
    found, waiting = set[str](), [node]
    while waiting:
        one = waiting.pop()
        if one in graph and one not in found:
            found.add(one)
            waiting.extend(str(value[0]) for value in graph[one]["inputs"].values() if is_link(value))
    return found


def _one_node(graph: Graph, name: str, who: str) -> str:
    nodes = _matches(graph, name)
    if len(nodes) > 1:
        raise EMoEError(f"{who} may mean any of the nodes {', '.join(nodes)}, all called '{name}'; use the node's id.")
    return nodes[0]


def prompt_target(graph: Graph) -> Target:
    """The prompt's default target: the node titled Prompt, else the text of the only Encode for Experts."""
    if _titled(graph, PROMPT.capitalize()):
        node = _one_node(graph, PROMPT.capitalize(), "The prompt's node")
        return _source(graph, node, _titled_input(graph, node))
    encoders = [node for node in graph if graph[node]["class_type"] == ENCODER]
    if len(encoders) == 1:
        return _source(graph, encoders[0], "text")
    count = "no" if not encoders else f"{len(encoders)}"
    raise EMoEError(
        f"The workflow has no node titled 'Prompt' and {count} Encode for Experts, so where the prompt goes is unknown; "
        "say it with --set prompt=NODE.INPUT."
    )


def _source(graph: Graph, node: str, name: str) -> Target:
    """Where the text of an input comes from: back over nodes that pass a text on as it is, and over no others."""
    passed = set[str]()
    value = graph[node]["inputs"].get(name)
    while is_link(value) and value[0] in graph and value[0] not in passed:
        node = str(value[0])
        passed.add(node)
        name = _text_input(graph, node)
        value = graph[node]["inputs"].get(name)
    if isinstance(value, (list, dict)):
        raise _unknown(graph, node)
    return Target(PROMPT, node, name)


def _titled_input(graph: Graph, node: str) -> str:
    """The text of a node that a person called Prompt: whatever it does with it is meant."""
    inputs = graph[node]["inputs"]
    known = TEXT_NODES.get(graph[node]["class_type"])
    found = [known] if known else [name for name in TEXT_INPUTS if isinstance(inputs.get(name), str)]
    found = found or [name for name in TEXT_INPUTS if is_link(inputs.get(name))]
    if len(found) != 1:
        raise _unknown(graph, node)
    return found[0]


def _text_input(graph: Graph, node: str) -> str:
    """The input that a node's output is the text of.

    Of a node that is not known it must be the only input: one that joins, looks up or changes texts has others beside.
    """
    inputs = graph[node]["inputs"]
    known = TEXT_NODES.get(graph[node]["class_type"])
    if known is not None:
        return known
    name = next(iter(inputs)) if len(inputs) == 1 else ""
    if name in TEXT_INPUTS and isinstance(inputs[name], str):
        return name
    raise _unknown(graph, node)


def _unknown(graph: Graph, node: str) -> EMoEError:
    names = [name for name, value in graph[node]["inputs"].items() if isinstance(value, str)]
    choices = " or ".join(f"--set prompt={node}.{name}" for name in names[:4]) or "--set prompt=NODE.INPUT"
    return EMoEError(
        f"The prompt comes from {label(graph, node)}, and which of its inputs a row's text belongs into is not plain; say it "
        f"with {choices}."
    )


# --- filling ----------------------------------------------------------------------------------------------------------


def fill(graph: Graph, row: PromptRow, targets: Iterable[Target], info: ObjectInfo) -> Graph:
    """The graph of one row."""
    filled = copy.deepcopy(graph)
    for target, value in values(graph, row, targets, info):
        filled[target.node]["inputs"][target.input] = value
    return filled


def values(
    graph: Graph, row: PromptRow, targets: Iterable[Target], info: ObjectInfo
) -> Iterator[tuple[Target, str | int | float | bool]]:
    """The values that a row sets. A missing cell, or an empty one for a number, leaves the workflow's own value.

    Raises:
        EMoEError: a cell is not of its input's type.
    """
    for target in targets:
        text = cell(row, target.column)
        if text is None:
            continue
        node = graph[target.node]
        spec = input_spec(info, node["class_type"], target.input)
        try:
            value = typed(text, node["inputs"].get(target.input), spec[0] if spec else None)
        except ValueError as error:
            where = f"'{target.input}' of {label(graph, target.node)}"
            raise EMoEError(f"'{text}' in column '{target.column}' is not {error}, which {where} needs.") from error
        if value is not None:
            yield target, value


def cell(row: PromptRow, column: str) -> str | None:
    """A row's text in a column, ignoring case; None when the row has no such column."""
    if is_prompt_column(column):
        return row.prompt
    if column in row.columns:
        return row.columns[column]
    return next((value for name, value in row.columns.items() if name.lower() == column.lower()), None)


def has_column(column: str, names: Iterable[str]) -> bool:
    """Whether a file has this column, given the `names` of its columns beside the prompt."""
    return is_prompt_column(column) or column.lower() in {name.lower() for name in names}


def typed(text: str, current: Any, kind: Any = None) -> Any:
    """`text` in the type that the server gives, else in that of the workflow's own value. None: keep that value.

    A whole number in a workflow may stand for a fraction (1.0 is saved as 1), so both are accepted there.

    Raises:
        ValueError: the text is not of that type; the message names the expected type.
    """
    stripped = text.strip()
    if isinstance(kind, (list, tuple)):
        return next((choice for choice in kind if str(choice) == text), text)
    boolean = kind == "BOOLEAN" or (kind is None and isinstance(current, bool))
    whole = kind == "INT"
    number = whole or kind == "FLOAT" or (kind is None and not boolean and isinstance(current, (int, float)))
    if (boolean or number) and not stripped:
        return None
    if boolean:
        if stripped.lower() not in (*TRUE, *FALSE):
            raise ValueError("true or false")
        return stripped.lower() in TRUE
    if not number:
        return text
    with suppress(ValueError):
        return int(stripped) if whole or (kind is None and isinstance(current, int)) else _finite(stripped)
    try:
        value = _finite(stripped)
    except ValueError:
        raise ValueError("a whole number" if whole else "a number") from None
    if whole:
        if value != int(value):
            raise ValueError("a whole number")
        return int(value)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError
    return value


def fingerprint(graph: Graph, targets: Iterable[Target]) -> str:
    """SHA-256 of what makes two batches the same work: the graph and the inputs that rows fill."""
    filled = [(target.column, target.node, target.input) for target in targets]
    return hashlib.sha256(json.dumps([graph, filled], sort_keys=True).encode()).hexdigest()
