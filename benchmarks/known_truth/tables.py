"""The figures for a person, as a table in the terminal."""

from __future__ import annotations

from typing import Any

from .columns import BASELINES, PRESETS

SHOWN = {
    **PRESETS,
    "response": "response",
    "guidance": "guidance",
    "guidance, mean": "guidance_mean",
    "tokens": "tokens",
}


def _cell(figure: dict[str, float]) -> str:
    return f"{figure['value']:5.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def text(found: dict[str, Any]) -> str:
    """Tables of the shipped experts, and one line per world."""
    lines = [f"{'AUROC against the best sampled':32}" + "".join(f"{name:>22}" for name in SHOWN)]
    for task, row in found["auroc"].items():
        lines.append(f"{task:32}" + "".join(f"{_cell(row[column]):>22}" for column in SHOWN.values()))
    for code, row in found["auroc_by_language"].items():
        title = f"{code} {row['share']['value']:.3f}"
        lines.append(f"{title:32}" + "".join(f"{_cell(row[column]):>22}" for column in SHOWN.values()))
    within = found["within_language"]
    if within["auroc"]:
        lines.append(
            f"{'unseen string, within a language':32}"
            + "".join(f"{_cell(within['auroc'][column]):>22}" for column in SHOWN.values())
        )
    for title, figures in (
        ("Spearman share, median", "spearman_share_score"),
        ("AUROC of a bad picture", "fail_auroc"),
    ):
        if found[figures]:
            lines.append(f"{title:32}" + "".join(f"{_cell(found[figures][column]):>22}" for column in SHOWN.values()))
    for area in ("aurc", "augrc", "auarc"):
        if found[area]:
            ends = " ".join(f"{name} {found[area][name]['value']:.3f}" for name in ("random", "oracle"))
            cells = "".join(f"{_cell(found[area][column]):>22}" for column in SHOWN.values())
            lines.append(f"{area:32}{cells}  {ends}")
    for measure, presets in found["quality_by_quartile"].items():
        for preset, parts in presets.items():
            title = f"{measure} by quartile, {preset}"
            lines.append(f"{title:32}" + " ".join(f"{part['value']:.2f}" for part in parts))
    lines.append("gain of the ensemble over the best number of a single model (AUROC, paired):")
    for task, row in found["ensemble_gain"].items():
        cells = "  ".join(f"{preset} {_cell(row[preset])}" for preset in PRESETS if preset in row)
        lines.append(f"  {task:30}{cells}  over {row['best_rival']}")
    for case, presets in found.get("ablations", {}).items():
        cells = "  ".join(f"{p} {f['mean_auroc']:.3f} (rank {f['rank_correlation']:.2f})" for p, f in presets.items())
        lines.append(f"  {case:30}{cells}")
    for name, world in found.get("worlds", {}).items():
        lines.append(
            f"{name} (mean AUROC over the tasks / Spearman of share and median score / AUROC of a bad picture):"
        )
        for label, means in sets_of(world).items():
            figures = world[label]
            cells = []
            for shown, mean in means.items():
                column = PRESETS.get(shown, shown)
                bad = figures["fail_auroc"].get(column, {}).get("value", float("nan"))
                cells.append(f"{shown} {mean:.2f}/{figures['spearman_share_score'][column]['value']:+.2f}/{bad:.2f}")
            lines.append(f"  {label:14}{'  '.join(cells)}")
    if found.get("within_earlier_trainings"):
        cells = (f"{name} {inside}/{all_}" for name, (inside, all_) in found["within_earlier_trainings"].items())
        lines.append(f"figures within what earlier trainings state: {'  '.join(cells)}")
    if found.get("choice"):
        lines += _choice(found["choice"])
    return "\n".join(lines)


def _choice(choice: dict[str, Any]) -> list[str]:
    means = choice["mean_auroc"]
    order = sorted(means["chosen_on"], key=lambda name: -means["chosen_on"][name])
    shown = [name for name in order if name in order[:12] or name in choice["reported"]]
    lines = ["candidates by mean AUROC over tasks and failures (chosen on split 0 / on the other splits):"]
    return lines + [f"  {name:40}{means['chosen_on'][name]:.3f} / {means['reported_on'][name]:.3f}" for name in shown]


def sets_of(world: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Set of experts -> preset or baseline -> mean AUROC over the tasks."""
    found = {}
    for label, figures in world.items():
        if isinstance(figures, dict) and "auroc" in figures:
            tasks = figures["auroc"].values()
            found[label] = {
                name: sum(row[column]["value"] for row in tasks) / len(tasks)
                for name, column in (*PRESETS.items(), *((b, b) for b in BASELINES))
                if all(column in row for row in tasks)
            }
    return found
