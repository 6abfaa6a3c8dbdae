"""The figures as PNG, drawn by the pack's own charts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from .columns import PRESETS, TOLD
from .figures import COVERAGES
from .tables import SHOWN, sets_of

NAMES = {
    "unseen_language": "unseen language",
    "held_out_concept": "thing never shown",
    "held_out_group": "kind of thing never shown",
    "under_sampled": "thing shown seldom",
    "nonsense": "random letters",
    "word_salad": "two known words",
    "typo": "misspelt word",
    "keyword": "another word for it",
    "failure_all": "bad picture, all prompts",
    "failure_within_language": "bad picture, one language",
    "failure_trained_languages": "bad picture, trained languages",
}
WIDE = (900, 460)
DRAWN = "top1"
"""The plotted measure of quality: whether the picture is the right one."""

CURVES = (*PRESETS, "response", "guidance")


def save(core: ModuleType, found: dict[str, Any], folder: Path) -> list[Path]:
    """Writes every plot that the figures allow."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, picture in (*_shipped(core, found), *_worlds(core, found)):
        path = folder / f"{name}.png"
        picture.quantize(256).save(path, optimize=True)
        written.append(path)
    return written


def _shipped(core: ModuleType, found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    charts = core.charts
    tasks = list(found["auroc"])
    yield (
        "auroc_by_task",
        charts.matrix(
            [[found["auroc"][task][column]["value"] for column in SHOWN.values()] for task in tasks],
            [NAMES.get(task, task) for task in tasks],
            list(SHOWN),
            title="Shipped experts: unknown told from known (AUROC)",
            value_range=(0.5, 1.0),
            cell=(118, 34),
            text=lambda value: f"{value:.2f}",
        ),
    )
    gain = found["ensemble_gain"]
    rows = [(task, preset) for task in gain for preset in ("fast", TOLD)]
    figures = [gain[task][preset] for task, preset in rows]
    yield (
        "ensemble_gain",
        charts.bars(
            [f"{NAMES.get(task, task)}: {preset}" for task, preset in rows],
            [figure["value"] for figure in figures],
            low=[figure["low"] for figure in figures],
            high=[figure["high"] for figure in figures],
            title="Shipped experts: AUROC added to the best number of one model",
            highlight=[preset == TOLD for _, preset in rows],
            width=900,
        ),
    )
    if found["risk_by_coverage"]:
        shown = {**{name: SHOWN[name] for name in CURVES}, "random": "random", "oracle": "oracle"}
        yield (
            "risk_by_coverage",
            charts.line_chart(
                [
                    charts.Series(
                        name, COVERAGES, found["risk_by_coverage"][column], dashed=name in ("random", "oracle")
                    )
                    for name, column in shown.items()
                ],
                title="Shipped experts: bad pictures among the passed",
                x_label="share of prompts that passes",
                y_label="share of bad pictures",
                percent=(True, True),
                size=WIDE,
            ),
        )
    for measure, presets in found["quality_by_quartile"].items():
        if measure != DRAWN:
            continue  # the table has the others
        series = [
            charts.Series(
                name,
                [1, 2, 3, 4],
                *([part[end] for part in parts] for end in ("value", "low", "high")),
            )
            for name, parts in presets.items()
        ]
        yield (
            f"quality_{measure}",
            charts.line_chart(
                series,
                title="Shipped experts: quality of the pictures by quarter of the score",
                x_label="quarter of the prompts, most certain first",
                y_label=measure,
                size=WIDE,
            ),
        )


def _kind(name: str) -> str:
    """The world in "world A, split 0"."""
    return name.split(",")[0]


def _over_splits(core: ModuleType, label: str, x: list[int], curves: list[list[float]]) -> Any:
    """The mean over a world's splits, with a band from the lowest to the highest."""
    columns = list(zip(*curves, strict=True))
    means = [sum(column) / len(column) for column in columns]
    return core.charts.Series(label, x, means, [min(c) for c in columns], [max(c) for c in columns])


def _worlds(core: ModuleType, found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    charts, worlds = core.charts, found.get("worlds", {})
    if not worlds:
        return
    ranks: dict[str, list[list[float]]] = {}
    for label, figures in (("shipped", found), *((name, world["base_4"]) for name, world in worlds.items())):
        rows = [row for row in figures["auroc_by_language"].values() if row["share"]["value"] > 0]
        unseen = figures["auroc"]["unseen_language"][PRESETS[TOLD]]["value"]
        ranks.setdefault(_kind(label), []).append([row[PRESETS[TOLD]]["value"] for row in rows] + [unseen])
    yield (
        "languages",
        charts.line_chart(
            [_over_splits(core, kind, list(range(2, len(c[0]) + 2)), c) for kind, c in ranks.items()],
            title=f"{TOLD}: languages by their rank in the training data (10: never seen), mean and range over splits",
            x_label="rank of the language's share",
            y_label="AUROC against the best sampled",
            size=WIDE,
        ),
    )
    counts: dict[str, list[dict[int, float]]] = {}
    for name, world in worlds.items():
        means = {int(key[5:]): sets[TOLD] for key, sets in sets_of(world).items() if key.startswith("base_")}
        counts.setdefault(_kind(name), []).append(means)
    lines = []
    for kind, splits in counts.items():
        most = max(splits, key=len).keys()  # only splits with all sets, or their mean would mix different splits
        whole = [[means[count] for count in sorted(most)] for means in splits if means.keys() == most]
        if len(most) > 1:
            lines.append(_over_splits(core, kind, sorted(most), whole))
    if lines:
        yield (
            "experts",
            charts.line_chart(
                lines,
                title=f"{TOLD}: mean AUROC by the number of experts, mean and range over splits",
                x_label="experts",
                y_label="mean AUROC over the tasks",
                size=WIDE,
            ),
        )
