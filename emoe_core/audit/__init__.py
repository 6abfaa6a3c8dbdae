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
