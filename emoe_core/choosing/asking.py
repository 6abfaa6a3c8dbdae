"""Choose Experts on a server: the graph that asks for it, and where its answer is."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import EMoEError
from ..remote.results import run_error
from ..remote.server import mapping
from ..remote.workflow import Graph, ObjectInfo, input_spec
from ..scoring.presets import DEFAULT, ScoreOptions
from ..trial.looking import graph_in_place_of_score

CHOOSE, SCORE = "EMoE_ChooseExperts", "EMoE_Score"
LOAD_EXPERTS, ADD_EXPERT, _FILE = "EMoE_LoadExperts", "EMoE_AddExpert", "CheckpointLoaderSimple"
#: What one Load Experts takes.
_TOGETHER = 8


def candidates(models: Sequence[str], info: ObjectInfo, size: tuple[int, int]) -> Graph:
    """A workflow in API format with an Uncertainty Score of these model files.

    Args:
        models: names as the server lists them; the end of a name will do where only one has it.

    Raises:
        EMoEError: fewer than two, or one that the server does not have.
    """
    few = len(models) <= _TOGETHER
    spec = input_spec(info, LOAD_EXPERTS, "expert_1") if few else input_spec(info, _FILE, "ckpt_name")
    listed = [] if spec is None else spec[1].get("options") or spec[0]
    known = [str(one) for one in listed] if isinstance(listed, (list, tuple)) else []
    files = [_found(model, known) for model in models]
    if len(set(files)) < 2:
        raise EMoEError("A choice needs at least two different --checkpoints; name more.")
    graph: Graph = {}
    if few:
        chosen = {f"expert_{place}": file for place, file in enumerate(files, start=1)}
        graph["1"] = _node(LOAD_EXPERTS, chosen)
        last = "1"
    else:
        last = ""
        for place, file in enumerate(files):
            loader, adder = str(101 + 2 * place), str(102 + 2 * place)
            graph[loader] = _node(_FILE, {"ckpt_name": file})
            inputs: dict[str, Any] = {"model": [loader, 0], "clip": [loader, 1], "name": file.rsplit(".", 1)[0]}
            graph[adder] = _node(ADD_EXPERT, {**inputs, "experts": [last, 0]} if last else inputs)
            last = adder
    plain = ScoreOptions()
    width, height = size
    graph["2"] = _node("EMoE_EncodeForExperts", {"experts": [last, 0], "text": ""})
    graph["3"] = _node("EmptyLatentImage", {"width": width, "height": height, "batch_size": 1})
    score: dict[str, Any] = {"experts": [last, 0], "positive": ["2", 0], "latent_image": ["3", 0], "preset": DEFAULT}
    score |= {"add_noise": "enable", "tap": plain.tap, "estimator": plain.estimator}
    score |= {name: getattr(plain, name) for name in ("noise_seed", "steps", "scheduler", "at_step", "noise_samples")}
    graph["4"] = _node(SCORE, score)
    return graph


def scheduled(graph: Graph, scheduler: str | None) -> Graph:
    """The workflow with this schedule in its Scores: settings that were chosen on it hold for no other. None: its own."""
    if scheduler is None:
        return graph
    return {
        name: {**node, "inputs": {**node["inputs"], "scheduler": scheduler}} if node["class_type"] == SCORE else node
        for name, node in graph.items()
    }


def _node(class_type: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": dict(inputs)}


def _found(model: str, known: Sequence[str]) -> str:
    if model in known:
        return model
    ends = [name for name in known if name.rsplit(".", 1)[0].endswith(model) or name.endswith(model)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise EMoEError(f"'{model}' may be {', '.join(ends[:4])} on the server; write more of the name.")
    shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    raise EMoEError(f"The server has no model file '{model}'; it has {shown or 'none'}.")


def choose_graph(graph: Graph, info: ObjectInfo, wanted: Mapping[str, Any]) -> tuple[Graph, str]:
    """A graph of one Choose Experts with the experts, the size and the settings of a workflow's Score; and its node.

    Args:
        wanted: the node's other inputs.

    Raises:
        EMoEError: as `graph_in_place_of_score`.
    """
    return graph_in_place_of_score(graph, info, CHOOSE, "Choose Experts", wanted)


def file_of(entry: Mapping[str, Any], node: str) -> dict[str, str]:
    """Where the server keeps a run's choice: filename, subfolder and type.

    Raises:
        EMoEError: the run failed, or its answer is none of this node pack's.
    """
    if why := run_error(entry):
        raise EMoEError(why)
    try:
        place: Any = mapping(mapping(entry.get("outputs")).get(node))["emoe_choice"][0]["file"]
        return {name: str(place[name]) for name in ("filename", "subfolder", "type")}
    except (IndexError, KeyError, TypeError) as error:
        raise EMoEError("The server's answer is not one of this node pack; update the node pack there.") from error
