"""Known or Unknown on a server: the graph that asks for it, made of a user's own workflow, and what it answers."""

import copy
from collections.abc import Mapping
from typing import Any

from ..errors import EMoEError
from ..records.settings import Settings
from ..remote.results import number, run_error
from ..remote.server import mapping
from ..remote.workflow import Graph, ObjectInfo, input_spec, is_link, label, upstream
from .drawing import SCORE
from .store import Reading, Trial

LOOK = "EMoE_KnownOrUnknown"
_ENCODER = "EMoE_EncodeForExperts"


def look_graph(graph: Graph, info: ObjectInfo, wanted: Mapping[str, Any]) -> tuple[Graph, str]:
    """A graph of one Known or Unknown with the experts, the size and the settings of a workflow's Score; and its node.

    Raises:
        EMoEError: as `graph_in_place_of_score`.
    """
    return graph_in_place_of_score(graph, info, LOOK, "Known or Unknown", wanted)


def graph_in_place_of_score(
    graph: Graph, info: ObjectInfo, node: str, name: str, wanted: Mapping[str, Any]
) -> tuple[Graph, str]:
    """A graph of one node that takes the place of a workflow's Score, with what that gets; and the node's id.

    Args:
        node, name: the node's class, and what people call it.
        wanted: the node's other inputs.

    Raises:
        EMoEError: the workflow has no Score or several, or the server's pack has no such node.
    """
    scores = [one for one in graph if graph[one]["class_type"] == SCORE]
    if len(scores) != 1:
        raise EMoEError(
            f"The workflow has {len(scores)} Uncertainty Scores; give one with the Score whose experts are to be tried."
        )
    if node not in info:
        raise EMoEError(f"The node pack on the server has no {name}; update it there.")
    given = graph[scores[0]]["inputs"]
    inputs = {one: value for one, value in given.items() if input_spec(info, node, one) is not None}
    if (clip := _clip(graph, given.get("positive"))) is not None:
        inputs["clip"] = clip
    place = next(str(one) for one in range(1, len(graph) + 2) if str(one) not in graph)
    needed = set[str]()
    for value in inputs.values():
        if is_link(value):
            needed |= upstream(graph, value[0])
    made = {one: copy.deepcopy(graph[one]) for one in graph if one in needed}
    made[place] = {"class_type": node, "inputs": {**inputs, **wanted}, "_meta": {"title": name}}
    return made, place


def _clip(graph: Graph, positive: Any) -> Any:
    """The one text encoder that a prompt goes through; None where each expert's own does."""
    source = graph.get(positive[0]) if is_link(positive) else None
    if source is None:
        return None
    if is_link(source["inputs"].get("clip")):
        return source["inputs"]["clip"]
    if source["class_type"] == _ENCODER:
        return None
    raise EMoEError(
        f"The Score's prompt comes from {label(graph, positive[0])}, and which text encoder it goes through is not plain; "
        "connect Encode for Experts or CLIP Text Encode to it."
    )


def keep(entry: Mapping[str, Any], node: str, trial: Trial) -> int:
    """Puts a run's scores and controls into a trial; returns how many prompts it has scored.

    Args:
        entry: the run in the server's history.

    Raises:
        EMoEError: the run failed, its answer is none of this node pack's, or the trial is of other models or settings.
    """
    if why := run_error(entry):
        raise EMoEError(why)
    try:
        told: Any = mapping(mapping(entry.get("outputs")).get(node))["emoe_look"][0]
        readings = {
            name: Reading(name, None if body is None else Settings.from_dict(body))
            for name, body in told["readings"].items()
        }
        prompts = [
            (
                str(one["key"]),
                str(one["prompt"]),
                {str(name): str(value) for name, value in one["columns"].items()},
                {
                    readings[name]: value
                    for name, score in one["scores"].items()
                    if (value := number(score)) is not None
                },
            )
            for one in told["prompts"]
        ]
        controls = told["controls"]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise EMoEError("The server's answer is not one of this node pack; update the node pack there.") from error
    trial.begin({})
    for key, prompt, columns, scores in prompts:
        trial.add(key, 0, prompt, columns, scores, [])
    trial.note({"controls": controls})
    return len(prompts)
