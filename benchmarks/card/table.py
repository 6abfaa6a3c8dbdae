"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .prices import median


def markdown(figures: dict[str, Any]) -> str:
    return "\n".join(_lines(figures)) + "\n"


def _graph(row: dict[str, Any]) -> tuple[Any, ...]:
    """What rows of one graph have in common."""
    return tuple(row.get(name) for name in ("what", "experts", "preset", "steps", "list"))


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{figures.get('card') or 'no card'}, driver {figures.get('driver')}, ComfyUI {', '.join(figures['comfyui'])}"
    yield ""
    yield from _checks(figures["checks"])
    for server in figures["servers"]:
        if "error" in server:
            yield f"A server with the flags {server['flags']}: {server['error'].splitlines()[0]}"
    for family in dict.fromkeys(row["family"] for row in figures["rows"]):
        yield from _family(family, [row for row in figures["rows"] if row["family"] == family])
    if missing := [what for server in figures["servers"] for what in server["left_out"]]:
        yield f"Left out, no time: {'; '.join(missing)}"


def _checks(found: dict[str, Any]) -> Iterator[str]:
    for name, check in found.items():
        if name.startswith("demo"):
            yield f"{name}: {check}"
        elif name == "calibrations":
            for one in check:
                refused = [row["set"] for row in one["sets"] if row.get("digests", "").startswith("REFUSED")]
                yield f"calibrations from the {one['from']} on the {one['to']}: {len(one['sets'])} sets, refused: {refused}"
        else:
            for version, tests in check.items():
                said = {key: value for key, value in tests.items() if key != "failures"}
                yield f"host tests on {version}: {said}"
    if found:
        yield ""


def _family(family: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"### {family}"
    yield ""
    yield "| card | what | experts | preset | seconds | of an image | image behind the gate, more | peak GB | moved GB |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for setup in dict.fromkeys(row["setup"] for row in rows):
        mine = [row for row in rows if row["setup"] == setup]
        image = median(row for row in mine if row["what"] == "image" and row["steps"] != 20)
        for graph in dict.fromkeys(map(_graph, mine)):
            same = [row for row in mine if _graph(row) == graph]
            yield _line(setup, same, image)
    yield ""


def _line(setup: str, same: list[dict[str, Any]], image: float | None) -> str:
    """One graph's line. A list's figures are per prompt; `image` is the seconds of an image on the same setup."""
    row, seconds = same[0], median(same)
    count = row.get("list")
    name = row["what"] + (f" of {count}, per prompt" if count else "")
    name += f", {row['steps']} steps" if "steps" in row else ""
    what = f"| {setup} | {name} | {row.get('experts', '')} | {row.get('preset', '')} |"
    if seconds is None:
        return f"{what} {[one['error'] for one in same if 'error' in one][:1]} |"
    per, share, more = seconds / (count or 1), "", ""
    if image and ("score" in row["what"] or count):
        share = f"{per / image:.1%}"
    if image and row["what"] == "gated image":
        more = f"{seconds / image - 1:.1%}"
    peak = max((one.get("peak_bytes") or 0) for one in same) / 1e9
    moved = (same[-1].get("moved_bytes") or 0) / 1e9
    return f"{what} {per:.3f} | {share} | {more} | {peak:.1f} | {moved:.2f} |"
