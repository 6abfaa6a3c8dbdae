"""The audit's loop: read, score in batches, store, and resume after an interruption.

Every prompt is scored exactly once, however often the process dies: rows are keyed by their number in the file, a batch
is one transaction, and a restart skips the stored rows. If the file or the settings have changed, the audit refuses to
continue, because the two halves would measure different things.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..io.files import explained
from ..prompts import PromptRow
from ..records.message import dump_all, dump_one
from .plan import AuditPlan
from .scorer import About, ScoredRow, Scorer
from .store import Store
from .text import shared, words

#: Called after each batch with (prompts done, prompts in total, seconds left or None).
Progress = Callable[[int, int, "float | None"], None]
DATABASE = "audit.sqlite"
#: What the command's user does after fixing what made every prompt fail; other hosts have their own wording.
AGAIN = "start it again with --retry-errors"
#: Rows that are sorted by length before they are cut into batches, so that a batch's prompts have similar lengths.
WINDOW = 8
_PACE = 30  # the pace of this many batches gives the time left
_MOST_FAILURES = 20  # when the first prompts all fail, something is wrong with the whole audit


def run(
    plan: AuditPlan,
    scorer: Scorer,
    folder: str | Path,
    progress: Progress | None = None,
    retry: bool = False,
    about: About | None = None,
    again: str = AGAIN,
) -> Store:
    """Scores all prompts that are not scored yet; the store is open, and the caller closes it.

    Args:
        folder: where audit.sqlite is or will be.
        retry: try again the prompts that could not be scored before.
        about: the result of `scorer.about()`, if it is known already.
        again: how the host's user starts again, for the error when nothing can be scored.

    Raises:
        EMoEError: another file or other settings than before (each difference is named), or nothing can be scored.
    """
    store = begin(plan, about or scorer.about(), folder, retry)
    try:
        clock = Clock(store.done(), plan.total, progress)
        for batch in batches(plan, store, scorer.batch_size):
            results = scorer.score([row.prompt for row in batch])
            keep(store, plan, batch, results)
            clock.ended(len(batch))
            _check_sense(store, results, again)
    except BaseException:
        store.close()
        raise
    return store


def begin(plan: AuditPlan, about: About, folder: str | Path, retry: bool = False) -> Store:
    """The store of this audit, new or continued."""
    folder = Path(folder)
    with explained(f"The folder '{folder}' cannot be made", "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
    store = Store.open(folder / DATABASE)
    try:
        known = store.get("plan")
        if known is None:
            store.put(plan=plan.as_dict(), about=_about(about))
            store.declare((name, value) for name in plan.groups for value in plan.values[name])
            store.add_bad_rows((bad.row, bad.line, bad.reason) for bad in plan.bad)
        else:
            _check_same(store, known, plan, about)
            if retry:
                store.forget_errors()
    except BaseException:
        store.close()
        raise
    return store


def fingerprint(settings: dict[str, Any]) -> str:
    """Short digest of everything that the scores depend on."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _about(about: About) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(about.settings))
    return {
        "settings": plain,
        "fingerprint": fingerprint(plain),
        "experts": list(about.experts),
        **dump_one("calibration", about.calibration),
        **dump_all(about.messages),
    }


def _check_same(store: Store, known: dict[str, Any], plan: AuditPlan, about: About) -> None:
    found: list[str] = []
    new, old = plan.as_dict(), store.get("about") or {}
    if known["sha256"] != new["sha256"]:
        found.append(_file_difference(store, known, plan))
    for key, what in (("groups", "group columns"), ("id_column", "id column")):
        if known[key] != new[key]:
            found.append(f"the {what} were {known[key] or 'none'} and are {new[key] or 'none'}")
    mine, theirs = _about(about), old.get("settings", {})
    for name in sorted({*mine["settings"], *theirs}):
        before, now = theirs.get(name), mine["settings"].get(name)
        if before != now:
            found.append(f"{name} was {_brief(before)} and is {_brief(now)}")
    if old.get("calibration", "") != mine["calibration"]:
        was, now = (text or "none" for text in (old.get("calibration", ""), mine["calibration"]))
        found.append(f"the calibration was {was} and is {now}")
    if found:
        raise EMoEError(
            f"The audit in '{store.path.parent}' was begun with something else: {'; '.join(found)}. Go back to that, or "
            "choose a new folder for a new audit."
        )


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _file_difference(store: Store, known: dict[str, Any], plan: AuditPlan) -> str:
    """The first row in which the file differs from its scored part."""
    current = plan.rows()
    row = next(current, None)
    for number, line, prompt, columns in store.query("SELECT row, line, prompt, columns FROM prompts ORDER BY row"):
        while row is not None and row.row < number:
            row = next(current, None)
        if row is None or row.row > number:
            return f"the prompt file has no usable prompt at line {line} any more ('{_brief(prompt)}')"
        if row.prompt != prompt:
            return f"the prompt file changed at line {row.line} (was '{_brief(prompt)}', is '{_brief(row.prompt)}')"
        if json.dumps(row.columns, ensure_ascii=False) != columns:
            return f"the prompt file's other columns changed at line {row.line}"
    if known["total"] != plan.total:
        return f"the prompt file had {known['total']} prompts and has {plan.total}"
    return "the prompt file changed in rows that were not scored yet"


def batches(plan: AuditPlan, store: Store, size: int) -> Iterator[list[PromptRow]]:
    """Batches of prompts that are not in the store. Never more than a window of the file is in memory."""
    window: list[PromptRow] = []
    for row in plan.rows():
        window.append(row)
        if len(window) == size * WINDOW:
            yield from _cut(window, store, size)
            window = []
    yield from _cut(window, store, size)


def _cut(window: list[PromptRow], store: Store, size: int) -> Iterator[list[PromptRow]]:
    if not window:
        return
    there = store.rows_between(window[0].row, window[-1].row)
    left = sorted((row for row in window if row.row not in there), key=lambda row: (len(row.prompt), row.row))
    for start in range(0, len(left), size):
        yield left[start : start + size]


def keep(store: Store, plan: AuditPlan, batch: Sequence[PromptRow], results: Sequence[ScoredRow]) -> None:
    """Writes one batch: its prompts, their scores and their groups, in one transaction."""
    if len(results) != len(batch):
        raise EMoEError(f"The scorer gave {len(results)} rows for {len(batch)} prompts; this is an error of the host.")
    rows, members = [], []
    for row, result in zip(batch, results, strict=True):
        said = words(row.prompt)
        score, error = result.score, result.error
        if score is None or score - score != 0:
            score, error = None, error or "The score is not a finite number."
        rows.append(
            {
                **asdict(result),
                "row": row.row,
                "line": row.line,
                "id": row.columns.get(plan.id_column, "").strip() if plan.id_column else "",
                "prompt": row.prompt,
                "columns": json.dumps(row.columns, ensure_ascii=False),
                "score": score,
                "words": len(said),
                "shared_english": shared(said, plan.english) if plan.english else None,
                "error": error,
            }
        )
        for name in plan.groups:
            value = row.columns.get(name, "").strip()
            if value:
                members.append((name, value, row.row))
    store.add(rows, members)


def _check_sense(store: Store, results: Sequence[ScoredRow], again: str) -> None:
    """Stops an audit in which nothing can be scored."""
    if any(result.error is None for result in results):
        return
    done, failed = store.done(), store.failed()
    if failed == done and done >= _MOST_FAILURES:
        raise EMoEError(
            f"None of the first {done} prompts could be scored, so the audit stops: {results[-1].error} Mend that and "
            f"{again}."
        )


class Clock:
    """Progress with the time left, from the pace of the latest batches."""

    def __init__(self, done: int, total: int, progress: Progress | None) -> None:
        self.done, self.total, self._progress = done, total, progress
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), done)], maxlen=_PACE)
        self._tell()

    def ended(self, count: int) -> None:
        """`count` more prompts are on disk."""
        self.done += count
        self._times.append((time.monotonic(), self.done))
        self._tell()

    @property
    def pace(self) -> float | None:
        """Prompts per second; None before the first batch."""
        (first, before), (last, after) = self._times[0], self._times[-1]
        return (after - before) / (last - first) if last > first and after > before else None

    def _tell(self) -> None:
        if self._progress is not None:
            pace = self.pace
            self._progress(self.done, self.total, None if pace is None else (self.total - self.done) / pace)
