"""The ledger in ComfyUI's user directory, and where in a run a verdict is made."""

from pathlib import Path

import folder_paths

from ...gating.gate import Verdict
from ...io.log import log
from ...ledger.recalibrate import calibrate
from ...ledger.store import Ledger, LedgerError, Place
from ...records.calibration import Calibration
from ...records.report import Report


def path() -> Path:
    """`emoe/ledger.sqlite3` in ComfyUI's user directory."""
    return Path(folder_paths.get_user_directory()) / "emoe" / "ledger.sqlite3"


def record(verdict: Verdict) -> tuple[int | None, str | None]:
    """Stores a verdict if possible: a ledger that cannot be written never stops a generation.

    Returns:
        The row's id, and a warning when there is none.
    """
    try:
        return Ledger(path()).add(verdict, _place()), None
    except LedgerError as error:
        warning = f"The verdict stands, but it is not in the ledger. {error}"
        log.warning("EMoE: %s", warning)
        return None, warning


def calibration(report: Report, name: str, unmarked_as_good: bool) -> tuple[Calibration, list[str]]:
    """A calibration of the verdicts under a report's own settings, and what a user should know about it.

    Raises:
        EMoEError: there is no ledger, or it has no such verdicts.
    """
    return calibrate(
        Ledger(path()), report.settings.fingerprint(), name.strip() or "ledger", unmarked_as_good=unmarked_as_good
    )


def state() -> str:
    """A text that changes with every new verdict or mark in the ledger."""
    try:
        return Ledger(path()).state()
    except LedgerError as error:
        return str(error)


def _place() -> Place:
    """The prompt, node and list item that ComfyUI is working on; unknown outside a run or where ComfyUI does not tell."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return Place()
    context = get_executing_context()
    if context is None:
        return Place()
    return Place(str(context.prompt_id), str(context.node_id), context.list_index)
