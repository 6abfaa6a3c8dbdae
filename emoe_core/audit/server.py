"""The audit on running ComfyUI servers: a saved workflow's Score node is asked for every prompt.

Only what Score needs of the workflow is queued, so no image is made: its ancestors, a Preview as Any on the score, and a
Gate that reads the same report, set to observe, for p-values.
"""

import asyncio
import copy
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..prompts import PromptRow
from ..records.message import Code, Message, load_all
from ..remote.driver import GIVE_UP, Driver, Gone
from ..remote.results import number, of_other_prompt, row_result
from ..remote.server import Job, Link, Refused, mapping, new_session, normal_url
from ..remote.workflow import Graph, Target, fill, find_targets, is_link, label, load_workflow
from .scorer import About, ScoredRow
from .source import Source
from .store import SCORES

SCORE, GATE, PREVIEW = "EMoE_Score", "EMoE_Gate", "PreviewAny"
_IN_FLIGHT = 4  # prompts per server at a time, enough to keep it busy
_BATCH = 32
_ATTEMPTS = 3
_POLL = 0.3
_SHOWN = "emoe_audit_score"


class ServerScorer:
    """Implements `emoe_core.audit.scorer.Scorer`."""

    def __init__(self, urls: Sequence[str], graph: Graph, batch_size: int | None = None, give_up: float = GIVE_UP):
        """
        Args:
            urls: the servers, which share the prompts; they must have the same models.
            graph: a workflow in API format with one Score node.
        """
        if not urls:
            raise EMoEError("--server names no server; write it like http://127.0.0.1:8188.")
        self._urls, self._driver = list(urls), Driver(give_up, _POLL)
        self.batch_size = batch_size or _BATCH * len(self._urls)
        target = find_targets(graph, [], {})[0]
        self._graph, self._score, self._gate = score_only(graph)
        if target.node not in self._graph:
            raise EMoEError(
                f"The prompt goes to {label(graph, target.node)}, which Uncertainty Score does not depend on."
            )
        self._targets: list[Target] = [target]

    def about(self) -> About:
        """The settings of the first server's score; a prompt that nobody asked before ensures that it is computed."""
        entries = asyncio.run(self._all([f"a {uuid.uuid4().hex[:8]}"] * len(self._urls), same=True))
        reports = []
        for url, entry in zip(self._urls, entries, strict=True):
            if isinstance(entry, ScoredRow):
                raise EMoEError(f"{url} cannot score with this workflow: {entry.error}")
            reports.append(self._report(entry))
        if any(not report for report in reports):
            raise EMoEError("The server's Uncertainty Score gives no report; update the node pack there.")
        for url, report in zip(self._urls, reports, strict=True):
            if report["fingerprint"] != reports[0]["fingerprint"]:
                raise EMoEError(f"{url} scores under other settings or with other models than {self._urls[0]}.")
        gated = _gated(entries[0], self._gate)
        calibration = None if gated.get("p_value") is None else Message.of(Code.SERVER)
        first = reports[0]
        return About(first["settings"], tuple(first["experts"]), calibration, load_all(first))

    def score(self, prompts: Sequence[str]) -> list[ScoredRow]:
        """See `emoe_core.audit.scorer.Scorer.score`."""
        entries = asyncio.run(self._all(prompts))
        return [
            entry if isinstance(entry, ScoredRow) else self._row(prompt, entry)
            for prompt, entry in zip(prompts, entries, strict=True)
        ]

    def _row(self, prompt: str, entry: Mapping[str, Any]) -> ScoredRow:
        report, gated = self._report(entry), _gated(entry, self._gate)
        named = [told for one in (report, gated) if isinstance(told := one.get("prompt"), str) and told]
        if wrong := of_other_prompt(prompt, named):
            return ScoredRow(None, error=wrong)
        item = max(_first(report.get("items")), key=lambda item: number(item.get("score")) or 0.0, default={})
        score = number(item["score"]) if "score" in item else _shown(entry)
        if score is None:
            return ScoredRow(None, error="The server's history has no score for this prompt.")
        beside: dict[str, Any] = {name: number(item.get(name)) for name in SCORES if name not in ("score", "p_value")}
        return ScoredRow(score, p_value=number(gated.get("p_value")), **beside)

    def _report(self, entry: Any) -> dict[str, Any]:
        """The Score's report: a Gate tells it in its place, except of a score that an earlier run has told already."""
        return _report(entry, self._gate) or _report(entry, self._score)

    async def _all(self, prompts: Sequence[str], same: bool = False) -> list[ScoredRow | Mapping[str, Any]]:
        """A history entry or an error for each prompt; with `same`, prompt i goes to server i."""
        async with new_session() as session:
            links = [Link(url, session) for url in self._urls]
            turns = {link.url: asyncio.Semaphore(_IN_FLIGHT) for link in links}
            listeners = [asyncio.ensure_future(link.listen()) for link in links]

            async def one(number: int, prompt: str, link: Link) -> ScoredRow | Mapping[str, Any]:
                async with turns[link.url]:
                    return await self._ask(link, prompt, number)

            try:
                work = [
                    one(i, prompt, link) for (i, prompt), link in zip(enumerate(prompts), cycle(links), strict=False)
                ]
                return list(await asyncio.gather(*work))
            finally:
                for task in listeners:
                    task.cancel()
                await asyncio.gather(*listeners, return_exceptions=True)

    async def _ask(self, link: Link, prompt: str, number: int) -> ScoredRow | Mapping[str, Any]:
        row = PromptRow(number + 1, number + 1, prompt)
        graph = fill(self._graph, row, self._targets, {})
        for _ in range(_ATTEMPTS):
            job = Job(row, uuid.uuid4().hex)
            job.begin(link.url)
            try:
                refused, sure = await self._driver.post(link, job, graph)
                entry = None if refused else await self._driver.ended(link, job, sure)
            except Refused as error:
                return ScoredRow(None, error=str(error))
            except Gone as error:
                raise EMoEError(
                    f"{link.url} has not answered for {link.seconds_down:.0f} s; start it and then the same command again: "
                    "the audit goes on where it ended."
                ) from error
            if refused:
                return ScoredRow(None, error=refused)
            if entry is not None:
                result = row_result(job, entry, {}, 0.0)
                return entry if result["error"] is None else ScoredRow(None, error=result["error"])
        return ScoredRow(None, error=f"{link.url} lost this prompt {_ATTEMPTS} times; see the server's log.")


def score_only(graph: Graph) -> tuple[Graph, str, str | None]:
    """What Score needs, with outputs that show it; the Score node's id; and the id of a Gate that reads its report, or None."""
    scores = [node for node in graph if graph[node]["class_type"] == SCORE]
    if len(scores) != 1:
        raise EMoEError(f"The workflow has {len(scores)} Uncertainty Score nodes, and an audit needs exactly one.")
    score = scores[0]
    gates = [n for n in graph if graph[n]["class_type"] == GATE and _source(graph[n]["inputs"].get("report")) == score]
    wanted, todo = set[str](), [score, *gates[:1]]
    while todo:
        node = todo.pop()
        if node not in wanted and node in graph:
            wanted.add(node)
            todo += [source for source in map(_source, graph[node]["inputs"].values()) if source]
    pruned = {node: copy.deepcopy(graph[node]) for node in graph if node in wanted}
    if gates:
        pruned[gates[0]]["inputs"]["mode"] = "observe"
    pruned[_SHOWN] = {"class_type": PREVIEW, "inputs": {"source": [score, 0]}}
    return pruned, score, gates[0] if gates else None


def scorer_of(source: Source) -> ServerScorer:
    """The scorer of `emoe_core.audit.source.Source` with the host server."""
    urls = list(dict.fromkeys(normal_url(text) for text in source.server if text.strip()))
    return ServerScorer(urls, load_workflow(Path(source.workflow)), source.batch)


def _source(value: object) -> str | None:
    return str(value[0]) if is_link(value) else None  # type: ignore[index]


def _output(entry: Mapping[str, Any], node: str) -> Mapping[str, Any]:
    return mapping(mapping(entry.get("outputs")).get(node))


def _shown(entry: Mapping[str, Any]) -> float | None:
    """The score as Preview as Any shows it: of a score from the cache, an older ComfyUI has no more than that."""
    texts = _output(entry, _SHOWN).get("text")
    try:
        return number(float(texts[0])) if isinstance(texts, list) and texts else None
    except (TypeError, ValueError):
        return None


def _first(values: object) -> Iterator[dict[str, Any]]:
    for value in values if isinstance(values, list) else []:
        if isinstance(value, dict):
            yield value


def _report(entry: Any, node: str | None) -> dict[str, Any]:
    return {} if node is None else next(_first(_output(entry, node).get("emoe_report")), {})


def _gated(entry: Any, node: str | None) -> dict[str, Any]:
    return {} if node is None else next(_first(_output(entry, node).get("emoe")), {})
