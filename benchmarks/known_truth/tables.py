"""The figures for a person: a table in the terminal, plots as PNG."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
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
    """Tables of the shipped experts, and a line a world."""
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
    lines.append("gain of the ensemble over the best rival that needs none (AUROC, paired):")
    for task, row in found["ensemble_gain"].items():
        cells = "  ".join(f"{preset} {_cell(row[preset])}" for preset in PRESETS if preset in row)
        lines.append(f"  {task:30}{cells}  over {row['best_rival']}")
    for case, presets in found.get("ablations", {}).items():
        cells = "  ".join(f"{p} {f['mean_auroc']:.3f} (rank {f['rank_correlation']:.2f})" for p, f in presets.items())
        lines.append(f"  {case:30}{cells}")
    for world, sets in found.get("worlds", {}).items():
        for label, figures in sets.items():
            if isinstance(figures, dict) and "auroc" in figures:
                lines.append(f"{world}, {label}: {_world(figures)}")
    return "\n".join(lines)


def _world(figures: dict[str, Any]) -> str:
    tasks = figures["auroc"].values()
    parts = []
    for name, column in (*PRESETS.items(), *((b, b) for b in BASELINES)):
        if all(column in row for row in tasks):
            mean = sum(row[column]["value"] for row in tasks) / len(tasks)
            parts.append(f"{name} {mean:.2f}/{figures['spearman_share_score'][column]['value']:+.2f}")
    return "  ".join(parts) + "  (mean AUROC/Spearman)"


def plots(core: ModuleType, found: dict[str, Any], folder: Path) -> list[Path]:
    """AUROC by task, median score by share, quality by quartile."""
    charts = core.charts
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def save(name: str, picture: Any) -> None:
        path = folder / f"{name}.png"
        picture.save(path)
        written.append(path)

    tasks = list(found["auroc"])
    save(
        "auroc_by_task",
        charts.matrix(
            [[found["auroc"][task][column]["value"] for column in SHOWN.values()] for task in tasks],
            tasks, list(SHOWN), title="How well each number tells unknown from known prompts (AUROC)",
        ),
    )  # fmt: skip
    gain = found["ensemble_gain"]
    save(
        "ensemble_gain",
        charts.bars(
            [f"{task} ({preset})" for task in gain for preset in ("fast", "thorough")],
            [gain[task][preset]["value"] for task in gain for preset in ("fast", "thorough")],
            title="AUROC that the ensemble adds to the best rival without one",
        ),
    )
    for measure, presets in found["quality_by_quartile"].items():
        series = [
            charts.Series(name, [1, 2, 3, 4], [part["value"] for part in parts]) for name, parts in presets.items()
        ]
        save(
            f"quality_{measure}",
            charts.line_chart(
                series, title=f"Quality ({measure}) by quarter of the score", x_label="quarter", y_label=measure
            ),
        )
    return written
