"""Drawing a trial: a user's own workflow with every reading of the score and a Gate that only watches, once per picture."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..batch.journal import row_key
from ..batch.plan import BatchPlan
from ..errors import EMoEError
from ..gating.gate import OBSERVE
from ..remote.check import GATE
from ..remote.results import BLOCKED, ERROR, row_result
from ..remote.server import Job, mapping
from ..remote.workflow import (
    Graph,
    ObjectInfo,
    Target,
    fill,
    input_spec,
    input_target,
    is_link,
    label,
    node_named,
    told,
    upstream,
)
from .readings import readings
from .store import Drawn

SCORE = "EMoE_Score"
SCORES = (SCORE, "EMoE_ScoreList")
EVERY_PRESET = "every_preset"
#: Inputs that hold a sampler's seed.
SEEDS = ("seed", "noise_seed")
#: From one row's first seed to the next row's: also the most pictures per prompt.
STRIDE = 1000
#: Seeds are stored as SQLite's integers.
MOST_BASE = 2**62


@dataclass(frozen=True)
class Drawing:
    """A trial's work (`batch.runner.Work`): one job per picture.

    Attributes:
        workflow: the user's, changed so that every preset is read and nothing is blocked.
        info: what a server offers.
        seeds: the inputs that get the picture's seed.
        saver: the node that saves the picture.
        pictures: how many per prompt.
        base: the first seed.
    """

    workflow: Graph
    targets: Sequence[Target]
    info: ObjectInfo
    seeds: tuple[Target, ...]
    saver: str
    pictures: int
    base: int

    def jobs(self, plan: BatchPlan) -> Iterator[Job]:
        """A job for each picture, a row's pictures one after another, so that a server scores the prompt only once."""
        for row in plan.rows():
            for number in range(self.pictures):
                yield Job(row, picture_key(row_key(row), number), number=number)

    def seed(self, job: Job) -> int | None:
        """The seed of a picture; None where the workflow's own stays.

        Every picture has its own, so that what is learnt does not hang on a single one, and it does not depend on how many
        pictures are drawn.
        """
        return self.base + STRIDE * (job.row.row - 1) + job.number if self.seeds else None

    def graph(self, job: Job) -> Graph:
        filled = fill(self.workflow, job.row, self.targets, self.info)
        for target in self.seeds:
            filled[target.node]["inputs"][target.input] = self.seed(job)
        return filled

    def result(self, job: Job, entry: Mapping[str, Any], seconds: float, refused: str | None) -> dict[str, Any]:
        """The row's line, with its number and seed, and if all is well with readings, experts and picture."""
        line = row_result(job, entry, self.workflow, seconds, refused) | {"number": job.number, "seed": self.seed(job)}
        if line["status"] == ERROR:
            return line
        outputs = {node: mapping(output) for node, output in mapping(entry.get("outputs")).items()}
        try:
            report = self._report(outputs)
            line["readings"] = readings(report)
            line["experts"] = [str(mapping(one).get("name", "")) for one in report.get("experts") or ()]
            line["picture"] = self._picture(job, outputs, line)
        except EMoEError as error:
            line |= {"status": ERROR, "error": str(error)}
        return line

    def _report(self, outputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        told = [found for output in outputs.values() if isinstance(found := output.get("emoe_report"), list) and found]
        if not told:
            raise EMoEError(
                "The run ended without the score's report; update the node pack on the server, or open the workflow there and "
                "run it."
            )
        if len(told[0]) > 1:
            raise EMoEError(
                f"The run scored {len(told[0])} prompts, and a row must be one; put one prompt into each row of the file."
            )
        return mapping(told[0][0])

    def _picture(self, job: Job, outputs: Mapping[str, Mapping[str, Any]], line: Mapping[str, Any]) -> Drawn:
        found = outputs.get(self.saver, {}).get("images")
        saved = [
            image for image in map(mapping, found if isinstance(found, list) else []) if image.get("type") == "output"
        ]
        where = label(self.workflow, self.saver)
        if not saved or line["status"] == BLOCKED:
            raise EMoEError(f"No picture came to {where}: something else than the Gate blocks it in the workflow.")
        if len(saved) > 1:
            raise EMoEError(
                f"{where} saved {len(saved)} pictures in one run, and a trial takes one; set the latent's batch_size to 1."
            )
        place = {name: str(saved[0].get(name, "")) for name in ("filename", "subfolder", "type")}
        return Drawn(job.number, job.server, **place, seed=line["seed"], seconds=line["seconds"])


def picture_key(row: str, number: int) -> str:
    """A picture's identity: that of its row, and its number."""
    return f"{row}/{number}"


def prepare(
    graph: Graph,
    targets: Sequence[Target],
    infos: Mapping[str, ObjectInfo],
    *,
    seed_inputs: Sequence[str] = (),
    saver: str = "",
    pictures: int = 1,
    base: int = 0,
) -> Drawing:
    """Finds in a workflow what a trial needs, and changes a copy of it.

    Args:
        targets: the inputs that rows fill.
        infos: what each server offers.
        seed_inputs: NODE.INPUT, in place of the seeds that the picture depends on.
        saver: title or id of the node that saves the picture, where there are several.

    Raises:
        EMoEError: the workflow has no Score, Gate, saved picture or seed, or more than can be told apart.
    """
    if pictures > STRIDE:
        raise EMoEError(f"--pictures is {pictures}; draw at most {STRIDE} per prompt.")
    if not 0 <= base <= MOST_BASE:
        raise EMoEError(f"--base-seed is {base}; choose 0 to {MOST_BASE}.")
    info = next(iter(infos.values()))
    score = _score(graph, infos)
    chosen = _saver(graph, info, saver)
    seeds = _seeds(graph, info, seed_inputs, chosen, targets)
    if pictures > 1:
        if not seeds:
            raise EMoEError(
                f"The picture at {label(graph, chosen)} depends on no seed, so all pictures of a prompt would be the same; name "
                "the seed with --seed-input NODE.INPUT, or draw one picture per prompt."
            )
        above = upstream(graph, score)
        if found := next((target for target in seeds if target.node in above), None):
            raise EMoEError(
                f"The score depends on the seed of {label(graph, found.node)}, so that each picture has a score of its own; "
                "draw one picture per prompt (--pictures 1)."
            )
    return Drawing(_watched(graph, info), targets, info, seeds, chosen, pictures, base)


def _score(graph: Graph, infos: Mapping[str, ObjectInfo]) -> str:
    scores = [node for node in graph if graph[node]["class_type"] in SCORES]
    gates = [node for node in graph if graph[node]["class_type"] == GATE]
    if not scores:
        raise EMoEError(
            "The workflow has no Uncertainty Score, so there is nothing to try; add one with a Confidence Gate."
        )
    if len(scores) > 1:
        names = ", ".join(label(graph, node) for node in scores)
        raise EMoEError(
            f"The workflow has {len(scores)} Uncertainty Scores ({names}); keep the one that is to be tried."
        )
    if not any(scores[0] in upstream(graph, gate) for gate in gates):
        raise EMoEError(
            "The workflow has no Confidence Gate behind its Uncertainty Score; connect one to the output report."
        )
    kind = graph[scores[0]]["class_type"]
    for url, info in infos.items():
        if kind in info and input_spec(info, kind, EVERY_PRESET) is None:
            raise EMoEError(f"The node pack on {url} is too old to measure every preset at once; update it there.")
    return scores[0]


def _saver(graph: Graph, info: ObjectInfo, named: str) -> str:
    found = [node for node in graph if _saves_pictures(graph, node, info)]
    if named:
        node = node_named(graph, named, f"--picture '{named}'")
        if node in found:
            return node
        raise EMoEError(f"{label(graph, node)}, which --picture names, saves no pictures; name a Save Image.")
    if not found:
        raise EMoEError("The workflow saves no picture; add a Save Image for the one that is to be judged.")
    if len(found) > 1:
        names = " and ".join(label(graph, node) for node in found)
        raise EMoEError(f"The workflow saves pictures at {names}; say with --picture NODE which one is to be judged.")
    return found[0]


def _saves_pictures(graph: Graph, node: str, info: ObjectInfo) -> bool:
    kind = graph[node]["class_type"]
    if not told(info, kind, "output_node") or kind.startswith("EMoE_") or "preview" in kind.lower():
        return False
    specs = (input_spec(info, kind, name) for name, value in graph[node]["inputs"].items() if is_link(value))
    return any(spec is not None and "IMAGE" in str(spec[0]).split(",") for spec in specs)


def _seeds(
    graph: Graph, info: ObjectInfo, named: Sequence[str], saver: str, targets: Sequence[Target]
) -> tuple[Target, ...]:
    """The inputs that get the picture's seed: the named ones, else all that the picture depends on and no column fills."""
    if named:
        for place in named:
            if "." not in place.strip("."):
                raise EMoEError(
                    f"--seed-input '{place}' cannot be understood; write NODE.INPUT, such as KSampler.seed."
                )
        return tuple(input_target(graph, "seed", place, info, f"--seed-input '{place}'") for place in named)
    filled = {(target.node, target.input) for target in targets}
    above = upstream(graph, saver)
    return tuple(
        Target("seed", node, name)
        for node, entry in graph.items()
        if node in above and not entry["class_type"].startswith("EMoE_")
        for name, value in entry["inputs"].items()
        if name in SEEDS and (type(value) is int or is_link(value)) and (node, name) not in filled
    )


def _watched(graph: Graph, info: ObjectInfo) -> Graph:
    """A copy that reads every preset, and whose Gates let all pass: no calibration is needed, and none is disturbed."""
    changed = copy.deepcopy(graph)
    for entry in changed.values():
        if entry["class_type"] in SCORES:
            entry["inputs"][EVERY_PRESET] = True
        if entry["class_type"] == GATE:
            entry["inputs"] |= {"mode": OBSERVE, "policy": "raw_threshold"}
            if input_spec(info, GATE, "ledger") is not None:
                entry["inputs"]["ledger"] = False  # these verdicts are nobody's decisions
    return changed
