"""A workflow with what was chosen."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import EMoEError
from ..remote.workflow import is_link
from .asking import ADD_EXPERT, LOAD_EXPERTS, SCORE
from .record import Level
from .sweep import Setting

_LOAD = "EMoE_LoadCalibration"


def advised(
    graph: Mapping[str, Any],
    calibration: str,
    setting: Setting,
    level: Level,
    chosen: Sequence[int],
    candidates: int,
) -> dict[str, Any]:
    """A workflow in API format with the chosen experts, a setting, and Load Calibration.

    Args:
        calibration: its name.
        chosen: places of the experts.
        candidates: how many experts the workflow has.

    Raises:
        EMoEError: it has no Uncertainty Score, or its experts do not come from Load Experts or Add Expert.
    """
    made: dict[str, Any] = copy.deepcopy(dict(graph))
    scores = [node for node in made.values() if node["class_type"] == SCORE]
    if not scores:
        raise EMoEError("The workflow has no Uncertainty Score to set; give one that has.")
    new = _free(made)
    made[new] = {"class_type": _LOAD, "inputs": {"name": calibration}, "_meta": {"title": "Load Calibration"}}
    sources = {str(node["inputs"]["experts"][0]) for node in scores if is_link(node["inputs"].get("experts"))}
    for source in sources:
        _keep_only(made, source, chosen, candidates)
    for node in scores:
        node["inputs"] |= {
            "preset": setting.preset,
            "noise_seed": level.settings.noise_seed,
            "noise_samples": setting.samples,
            "at_step": level.step,
            "steps": level.steps,
            "calibration": [new, 0],
        }
        _resize(made, node["inputs"], level)
    return made


def _keep_only(graph: dict[str, Any], source: str, chosen: Sequence[int], candidates: int) -> None:
    """Leaves the chosen experts in a workflow, in their order.

    Raises:
        EMoEError: where the experts come from is not plain.
    """
    node = graph.get(source, {"class_type": "", "inputs": {}})
    if node["class_type"] == LOAD_EXPERTS:
        inputs = node["inputs"]
        names = [(name, inputs[name]) for name in sorted(inputs) if name.startswith("expert_")]
        files = [file for _, file in names if isinstance(file, str) and file and file != "none"]
        if len(files) == candidates:
            for name, _ in names:
                del inputs[name]
            inputs |= {f"expert_{place}": files[number] for place, number in enumerate(chosen, start=1)}
            return
    chain: list[str] = []
    here: Any = [source, 0]
    while is_link(here) and graph.get(here[0], {}).get("class_type") == ADD_EXPERT and here[0] not in chain:
        chain.insert(0, here[0])
        here = graph[here[0]]["inputs"].get("experts")
    if here is not None or len(chain) != candidates:
        raise EMoEError(
            "The workflow's experts do not come from one Load Experts or a chain of Add Expert with these candidates, so they "
            "cannot be set in it; set them by hand."
        )
    before: str | None = None
    own = [copy.deepcopy(graph[chain[number]]["inputs"]) for number in chosen]
    # The last node of the chain is what others are connected to, so the last of the chosen takes its place.
    places = [*(chain[:-1][: len(chosen) - 1]), chain[-1]]
    for place, inputs in zip(places, own, strict=True):
        inputs.pop("experts", None)
        graph[place]["inputs"] = inputs if before is None else {**inputs, "experts": [before, 0]}
        before = place
    for name in set(chain) - set(places):
        del graph[name]


def _resize(graph: dict[str, Any], score: dict[str, Any], level: Level) -> None:
    """Sets the size of a Score's empty latent. Where the latent is also drawn on, the Score gets one of its own."""
    link: Any = score.get("latent_image")
    latent = graph.get(link[0]) if is_link(link) else None
    if latent is None or not all(isinstance(latent["inputs"].get(name), int) for name in ("width", "height")):
        return
    size = {"width": level.size[0], "height": level.size[1]}
    users = [node for node in graph.values() if link in node["inputs"].values()]
    if any(node["class_type"] != SCORE for node in users) and latent["inputs"] | size != latent["inputs"]:
        new = _free(graph)
        graph[new] = latent = copy.deepcopy(latent)
        score["latent_image"] = [new, *link[1:]]
    latent["inputs"] |= size


def _free(graph: Mapping[str, Any]) -> str:
    """A name that no node has."""
    return str(max((int(name) for name in graph if name.isdecimal()), default=0) + 1)
