"""The audit in plain sentences."""

from .result import FEW, HIGHER, AuditResult

SHOWN = 10


def lines(result: AuditResult) -> list[str]:
    """What was scored, what was found, what to do first, and what to keep in mind."""
    found = [f"{result.prompts} prompts of '{result.name}' were scored{_left_out(result)}."]
    if result.overall is not None:
        o = result.overall
        found.append(f"Scores: median {o.median:.4g}, from {o.minimum:.4g} to {o.maximum:.4g}. Higher is less known.")
    for column in result.columns:
        groups = [group for group in result.of_column(column) if group.finding != FEW]
        higher = [group.value or "(empty)" for group in groups if group.finding == HIGHER]
        if not groups:
            found.append(f"{column}: nothing to compare.")
        elif not higher:
            found.append(f"{column}: none of {len(groups)} groups is surely less known than the others.")
        else:
            names = ", ".join(higher[:SHOWN]) + (" ..." if len(higher) > SHOWN else "")
            found.append(f"{column}: less known are {names} ({len(higher)} of {len(groups)} groups).")
    for priority in result.priorities[:3]:
        found.append(f"Data would help first: {priority.column} {priority.value}, which {priority.reason}.")
    return [*found, *result.warnings]


def _left_out(result: AuditResult) -> str:
    said = []
    if result.failed:
        said.append(f"{result.failed} could not be scored")
    if result.bad:
        said.append(f"{result.bad} rows could not be read")
    return f" ({', '.join(said)})" if said else ""
