"""From a history entry to a row's line in the results file."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import BRIEF, plain
from ..gating.gate import BLOCK, PASS
from .check import GATE
from .server import Job, mapping
from .workflow import Graph

OK, BLOCKED, ERROR = "ok", "blocked", "error"


#: Outputs whose picture explains a score.
_OWN = {"emoe_card", "emoe_words"}


def row_result(
    job: Job, entry: Mapping[str, Any], graph: Graph, seconds: float, refused: str | None = None
) -> dict[str, Any]:
    """The line of a row that has ended on a server.

    Args:
        entry: the prompt's entry in /history.
        seconds: from queuing to the end, measured here; used where the history keeps no times.
        refused: the part of the graph that the server would not run, when it ran the rest.
    """
    try:
        return _result(job, entry, graph, seconds, refused)
    except RecursionError:
        return failed_result(job, "The server's history of this row is nested too deeply to be one of ComfyUI's.")


def _result(job: Job, entry: Mapping[str, Any], graph: Graph, seconds: float, refused: str | None) -> dict[str, Any]:
    outputs = {node: output for node, output in mapping(entry.get("outputs")).items() if isinstance(output, dict)}
    items = [item for output in outputs.values() for item in _list(output.get("emoe"))]
    error = refused or run_error(entry)
    if wrong := next(filter(None, (_wrong(item) for item in items)), None) or _other_prompt(job, items):
        error, items = error or wrong, []
    if error is None and not items and any(node["class_type"] == GATE for node in graph.values()):
        error = "The run ended without a verdict: the Gate was not reached; open the workflow in ComfyUI and run it."
    passed = all(item["passed"] for item in items) if items else None
    if _was_blocked_by_error(entry) and passed is False:
        error = None
    status = ERROR if error else BLOCKED if passed is False else OK
    result = _line(job, status, error)
    if items:
        worst = max(items, key=lambda item: (not item["passed"], item["score"]))
        result |= {name: worst.get(name) for name in ("verdict", "score", "p_value", "percentile", "reason")}
        result["passed"] = passed
    if len(items) > 1:
        result["items"] = items
    # A score card is no result.
    pictures = {node: output for node, output in outputs.items() if "emoe_card" not in output}
    result["images"] = list(_files(pictures, job.server, "images"))
    result["files"] = list(_files(outputs, job.server, *{k for o in outputs.values() for k in o if k != "images"}))
    told = run_seconds(entry)
    result["seconds"] = round(seconds if told is None else told, 3)
    return dict(_finite(result))


def _wrong(item: Any) -> str | None:
    """Why something is no verdict of a Gate."""
    told = mapping(item)
    sound = told.get("verdict") in (PASS, BLOCK) and isinstance(told.get("passed"), bool)
    numbers = [told.get("score"), *(told[name] for name in ("p_value", "percentile") if told.get(name) is not None)]
    if sound and all(number(value) is not None for value in numbers):
        return None
    return "The server gave a verdict that no Confidence Gate gives; see what answers there, and update the node pack."


def _other_prompt(job: Job, items: Iterable[Mapping[str, Any]]) -> str | None:
    """Why the verdicts are not of the row: none of the prompts that they name holds its text."""
    named = [item["prompt"] for item in items if isinstance(item.get("prompt"), str) and item["prompt"]]
    return of_other_prompt(job.row.prompt, named) if named else None


def of_other_prompt(wanted: str, named: Sequence[str]) -> str | None:
    """Why scores of these prompts are not the wanted one's: None where one of them holds its text, or each is a line of it."""
    texts = [" ".join(text.split()) for text in named]
    lines = {" ".join(line.split()) for line in wanted.splitlines()}
    if not texts or any(" ".join(wanted.split()) in text for text in texts) or lines.issuperset(texts):
        return None
    return (
        f"The server scored '{plain(texts[0], BRIEF)}', which does not hold the row's text; say where the prompt goes with "
        "--set prompt=NODE.INPUT."
    )


def number(value: Any) -> float | None:
    """A finite number as a float; None for all else, 10**400 included."""
    try:
        found = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def failed_result(job: Job, error: str) -> dict[str, Any]:
    """The line of a row that never ran to its end."""
    return _line(job, ERROR, error)


def _line(job: Job, status: str, error: str | None) -> dict[str, Any]:
    return {
        "row": job.row.row,
        "key": job.key,
        "prompt": job.row.prompt,
        "columns": job.row.columns,
        "status": status,
        **dict.fromkeys(("verdict", "passed", "score", "p_value", "percentile", "reason")),
        "images": [],
        "files": [],
        "seconds": None,
        "server": job.server or None,
        "prompt_id": job.prompt_id or None,
        "attempts": job.attempts,
        "error": None if error is None else plain(error),
    }


def _files(outputs: Mapping[str, Any], server: str, *kinds: str) -> Iterator[dict[str, str]]:
    for output in outputs.values():
        for kind in sorted(kinds):
            for file in _list(output.get(kind)):
                if isinstance(file, dict) and "filename" in file:
                    place = {name: str(file.get(name, "")) for name in ("filename", "subfolder", "type")}
                    yield {"server": server, **place}


def _messages(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for message in _list(mapping(entry.get("status")).get("messages")):
        if isinstance(message, (list, tuple)) and len(message) == 2:
            yield str(message[0]), mapping(message[1])


def run_error(entry: Mapping[str, Any]) -> str | None:
    """Why the run failed, in one line; None when it did not."""
    for event, data in _messages(entry):
        if event == "execution_error":
            message = str(data.get("exception_message", "")).strip().splitlines()
            kind = str(data.get("exception_type", "")).rsplit(".", 1)[-1]
            said = message[0] if message and " " in message[0] else f"{kind} {message[0] if message else ''}".strip()
            return f"{data.get('node_type', 'node')} (node {data.get('node_id', '?')}): {said}"
        if event == "execution_interrupted":
            return f"The run was interrupted on the server at node {data.get('node_id', '?')}."
    if mapping(entry.get("status")).get("status_str") == "error":
        return "The run failed and the history does not say why; see the server's log."
    return None


def _was_blocked_by_error(entry: Mapping[str, Any]) -> bool:
    """Whether Stop, set to `error`, ended the run: a block, not a failure."""
    return any(
        event == "execution_error" and str(data.get("exception_type", "")).endswith("PromptBlocked")
        for event, data in _messages(entry)
    )


def run_seconds(entry: Mapping[str, Any]) -> float | None:
    """How long a run took on the server; None where its history keeps no times."""
    times = [time for _, data in _messages(entry) if (time := number(data.get("timestamp"))) is not None]
    return (max(times) - min(times)) / 1000 if len(times) > 1 else None


def run_status(entry: Mapping[str, Any]) -> str:
    """`success` or `error`, as the history says; `blocked` where Stop ended the run with an error."""
    if _was_blocked_by_error(entry):
        return BLOCKED
    return str(mapping(entry.get("status")).get("status_str") or "unknown")


def _finite(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else []
