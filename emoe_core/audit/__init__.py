"""The bias audit: which groups of prompts (languages, regions, topics) do these models know too little of?

    plan = read_plan("prompts.csv")                      # one pass over the file: groups, ids, bad rows
    store = run(plan, scorer, "out/")                    # scores every prompt once, in batches, resumable
    result = analyse(store, Options(alpha=0.05))         # statistics, priorities; also kept in the store
    result = AuditResult.load("out/")                    # the same object, later, from out/audit.sqlite

A `Scorer` (see `scorer`) is whoever can score prompts: a host's experts, or a running server. Nothing else here knows
a host. `AuditResult` (see `result`) is all that a report needs:

* `.groups`: a `GroupStats` for each group of each column, sorted by column and then by median, highest first; each with
  `.score` (a `Distribution` with a histogram over `result.bins`), `.blocked` (share, with interval), `.effect` (Cliff's
  delta and Hodges-Lehmann shift against the other groups, p-values), `.adjusted` (the delta at equal length and
  wording), `.baselines`, `.text` (tokens, truncation, ...), `.worst` and `.best` prompts, `.words` and `.concepts` that
  raise its score, `.finding` and `.explained`;
* `.priorities`: the groups that data would help first, with a sentence each;
* `.confounders`, `.agreement`, `.overall`, `.worst`, `.best`, `.settings`, `.experts`, `.fingerprint`, `.calibration`,
  `.warnings`, `.rejected`.

A value that could not be known is None, never 0. The tables of audit.sqlite are described in `store`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis import Options, analyse
    from .engine import run
    from .plan import Plan, read_plan
    from .result import (
        FEW,
        HIGHER,
        LOWER,
        NONE,
        Adjusted,
        AuditResult,
        Baseline,
        Cause,
        Confounder,
        Distribution,
        Effect,
        GroupStats,
        Priority,
        PromptScore,
        TextFacts,
    )
    from .scorer import About, Row, Scorer

_WHERE = {
    "Options": "analysis",
    "analyse": "analysis",
    "run": "engine",
    "Plan": "plan",
    "read_plan": "plan",
    "FEW": "result",
    "HIGHER": "result",
    "LOWER": "result",
    "NONE": "result",
    "Adjusted": "result",
    "AuditResult": "result",
    "Baseline": "result",
    "Cause": "result",
    "Confounder": "result",
    "Distribution": "result",
    "Effect": "result",
    "GroupStats": "result",
    "Priority": "result",
    "PromptScore": "result",
    "TextFacts": "result",
    "About": "scorer",
    "Row": "scorer",
    "Scorer": "scorer",
}

__all__ = [
    "FEW",
    "HIGHER",
    "LOWER",
    "NONE",
    "About",
    "Adjusted",
    "AuditResult",
    "Baseline",
    "Cause",
    "Confounder",
    "Distribution",
    "Effect",
    "GroupStats",
    "Options",
    "Plan",
    "Priority",
    "PromptScore",
    "Row",
    "Scorer",
    "TextFacts",
    "analyse",
    "read_plan",
    "run",
]


def __getattr__(name: str) -> Any:
    """Modules are loaded when something of theirs is asked for: the command line stays quick."""
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
