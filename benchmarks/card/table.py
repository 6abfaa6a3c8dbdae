"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .prices import median


def markdown(figures: dict[str, Any]) -> str:
    return "\n".join(_lines(figures)) + "\n"


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
        image = median(mine, what="image", steps=25) or median(mine, what="image")
        seen = set()
        for row in mine:
            key = tuple(row.get(name) for name in ("what", "experts", "preset", "steps", "list"))
            if key in seen:
                continue
            seen.add(key)
            same = [
                one for one in mine if tuple(one.get(n) for n in ("what", "experts", "preset", "steps", "list")) == key
            ]
            wanted = dict(zip(("what", "experts", "preset", "steps", "list"), key, strict=True))
            seconds = median(mine, **wanted)
            errors = [one["error"] for one in same if "error" in one]
            if seconds is None:
                yield f"| {setup} | {row['what']} | {row.get('experts', '')} | {row.get('preset', '')} | {errors[:1]} |"
                continue
            per = seconds / (row.get("list") or 1)
            share = f"{per / image:.1%}" if image and "score" in row["what"] or row.get("list") else ""
            more = f"{seconds / image - 1:.1%}" if image and row["what"] == "gated image" else ""
            peak = max((one.get("peak_bytes") or 0) for one in same) / 1e9
            moved = (same[-1].get("moved_bytes") or 0) / 1e9
            name = row["what"] + (f" of {row['list']}, per prompt" if row.get("list") else "")
            name += f", {row['steps']} steps" if row.get("steps") else ""
            cells = (setup, name, row.get("experts", ""), row.get("preset", ""), f"{per:.3f}", share, more)
            yield f"| {' | '.join(map(str, cells))} | {peak:.1f} | {moved:.2f} |"
    yield ""
