"""What a batch would do, before anything is queued: its files, its filled first row, and the problems in it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import EMoEError
from ..io.console import out, out_json
from ..prompts import BadRow, PromptRow, read_prompts
from ..remote.check import findings, notes
from ..remote.server import Job
from ..remote.workflow import (
    Graph,
    ObjectInfo,
    Target,
    fill,
    has_column,
    is_prompt_column,
    label,
    load_workflow,
    values,
)
from .journal import row_key


@dataclass
class BatchPlan:
    """What the files say, before a server is asked."""

    graph: Graph
    prompts: Path
    keys: list[str] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    bad: list[BadRow] = field(default_factory=list)

    def rows(self) -> Iterator[PromptRow]:
        """The good rows, read anew."""
        return read_prompts(self.prompts)

    def jobs(self) -> Iterator[Job]:
        """A job for each of them."""
        for row in self.rows():
            yield Job(row, row_key(row))

    def bad_rows(self) -> list[dict[str, Any]]:
        """The rows left out, ready for JSON."""
        return [asdict(bad) for bad in self.bad]


def read_plan(workflow: str | Path, prompts: str | Path) -> BatchPlan:
    """Reads both files once; an `EMoEError` names the one that cannot be used."""
    plan = BatchPlan(load_workflow(workflow), Path(prompts))
    for row in read_prompts(plan.prompts, plan.bad):
        plan.keys.append(row_key(row))
        plan.columns.update(row.columns)
    return plan


def problems(plan: BatchPlan, targets: Sequence[Target], infos: Mapping[str, ObjectInfo]) -> list[str]:
    """What would certainly fail: columns, the cells' types, and the first row on every server."""
    found = []
    for target in targets:
        if not has_column(target.column, plan.columns):
            known = ", ".join(["prompt", *sorted(plan.columns)])
            found.append(f"The prompt file has no column '{target.column}'; its columns are {known}.")
    info = next(iter(infos.values()))
    first: Graph | None = None
    only_text = all(is_prompt_column(target.column) for target in targets)
    for row in plan.rows():
        try:
            if first is None:
                first = fill(plan.graph, row, targets, info)
            elif only_text:
                break
            else:
                list(values(plan.graph, row, targets, info))
        except EMoEError as error:
            found.append(f"Row {row.row} (line {row.line}): {error}")
    for url, offered in infos.items():
        where = f"{url}: " if len(infos) > 1 else ""
        found.extend(where + problem for problem in findings(first or plan.graph, offered))
    return found


def report(
    plan: BatchPlan,
    targets: Sequence[Target],
    info: ObjectInfo,
    found: Sequence[str],
    as_json: bool,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Prints what would be done and the problems found; returns the exit code.

    Args:
        more: what else would be done, by what it is called.
    """
    row = next(plan.rows())
    sets: list[dict[str, Any]] = []
    with contextlib.suppress(EMoEError):  # it is among the findings
        for target, value in values(plan.graph, row, targets, info):
            place = {"node": target.node, "title": label(plan.graph, target.node), "input": target.input}
            sets.append({"column": target.column, **place, "value": value})
    code = 2 if found or plan.bad else 0
    if as_json:
        first = {"row": row.row, "line": row.line, "set": sets}
        out_json(
            {
                "rows": len(plan.keys),
                "bad_rows": plan.bad_rows(),
                "first": first,
                **more,
                "findings": list(found),
                "exit_code": code,
            }
        )
        return code
    out(f"{len(plan.keys)} rows, {len(plan.bad)} left out; columns: {', '.join(['prompt', *sorted(plan.columns)])}")
    out(f"row {row.row} (line {row.line}) would set:")
    for entry in sets:
        out(f"  {entry['column']} -> {entry['title']} {entry['input']} = {entry['value']!r}")
    for name, value in more.items():
        out(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    for text in (*notes(plan.graph), *found):
        out(f"- {text}")
    out("nothing was queued" if code else "no problem found; nothing was queued")
    return code
