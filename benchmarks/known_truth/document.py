"""The tables of docs/validity.md, written between its marks `<!-- table:NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .columns import PRESETS, TOLD
from .plots import NAMES
from .tables import SHOWN, sets_of
from .trainings import NUMBERS

Found = dict[str, Any]
ENDS = ("random", "oracle")
#: The presets with their own column in comparisons with a single model's numbers.
COMPARED = ("fast", "thorough", "layout")
QUARTERS = ("first quarter", "second", "third", "last")
LABELS = {
    "base_2": "2 experts",
    "base_3": "3 experts",
    "base_4": "4 experts",
    "base_8": "8 experts",
    "early_100": "4, fine-tuned for 100 steps",
    "early_200": "4, for 200 steps",
    "early_400": "4, for 400 steps",
    "near_copy_2": "an expert and a near copy of it",
    "independent_2": "2 experts of their own seeds",
    "independent_4": "4 experts of their own seeds",
}


def update(found: Found, path: Path, tables: Mapping[str, Callable[[Found], list[str]]] | None = None) -> None:
    """Fills every mark that the figures have a table for."""
    text = path.read_text("utf-8")
    for name, make in (TABLES if tables is None else tables).items():
        rows = make(found)
        if not rows:
            continue
        mark = re.compile(rf"(<!-- table:{name} -->\n).*?(<!-- end -->)", re.S)
        if not mark.search(text):
            raise SystemExit(f"{path} has no mark <!-- table:{name} -->")
        text = mark.sub(lambda m, r=rows: m.group(1) + "\n".join(r) + "\n" + m.group(2), text)
    path.write_text(text, "utf-8")


def _cell(figure: dict[str, float], digits: int = 2) -> str:
    if "low" not in figure:
        return f"{figure['value']:.{digits}f}"
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _shown(row: Found) -> list[str]:
    return [_cell(row[column]) if column in row else "" for column in SHOWN.values()]


def _in_full(found: Found) -> Found:
    """The sets of experts with full tables: the shipped ones, and four of every world."""
    return {"shipped": found} | {name: world["base_4"] for name, world in found.get("worlds", {}).items()}


def tasks(found: Found) -> list[str]:
    """Shipped experts: AUROC by task."""
    rows = [[NAMES.get(task, task), *_shown(row)] for task, row in found["auroc"].items()]
    extra = (
        ("never seen string against well-known, within a language", found["within_language"]["auroc"]),
        ("thing never shown against thing shown seldom", found["held_out_against_under_sampled"]),
        ("rank correlation of a language's share and its median", found["spearman_share_score"]),
    )
    return table(["AUROC of", *SHOWN], rows + [[title, *_shown(row)] for title, row in extra if row])


def everything(found: Found) -> list[str]:
    """Shipped experts: every estimator at every tap, and every baseline, in short."""
    names = found["spearman_share_score"]
    rows = []
    for name in names:
        values = [row[name]["value"] for row in found["auroc"].values()]
        bad = found["fail_auroc"].get(name)
        areas = [found[area][name]["value"] for area in ("aurc", "augrc", "auarc")] if found["aurc"] else []
        shown = [sum(values) / len(values), min(values)]
        rho = names[name]["value"]
        rows.append(
            [
                f"`{name}`",
                *(f"{v:.2f}" for v in shown),
                f"{rho:+.2f}",
                _cell(bad) if bad else "",
                *(f"{a:.3f}" for a in areas),
            ]
        )
    for end in ENDS:
        if found["aurc"]:
            rows.append(
                [end, "", "", "", "", *(f"{found[area][end]['value']:.3f}" for area in ("aurc", "augrc", "auarc"))]
            )
    return table(
        [
            "number",
            "mean AUROC",
            "lowest",
            "rank correlation with share",
            "AUROC of a bad picture",
            "AURC",
            "AUGRC",
            "AUARC",
        ],
        rows,
    )


def failures(found: Found) -> list[str]:
    """Shipped experts: AUROC of a bad picture, over all prompts and within a language."""
    rows = []
    for label, entry in found["failures"].items():
        if "columns" in entry:
            figures = {
                name: column["fail_auroc"] for name, column in entry["columns"].items() if "fail_auroc" in column
            }
            rows.append([NAMES[f"failure_{label}"], str(entry["prompts"]), f"{entry['failed']:.0%}", *_shown(figures)])
    return table(["prompts", "how many", "bad", *SHOWN], rows) if rows else []


def quartiles(found: Found) -> list[str]:
    """Shipped experts: quality by quarter of the score."""
    rows = []
    for measure, presets in found["quality_by_quartile"].items():
        rows += [[measure, f"`{preset}`", *(_cell(part) for part in parts)] for preset, parts in presets.items()]
    return table(["measure", "preset", *QUARTERS], rows)


def gain(found: Found) -> list[str]:
    """Shipped experts: what the ensemble adds."""
    rows = []
    for task, row in found["ensemble_gain"].items():
        rows.append(
            [NAMES.get(task, task), f"`{row['best_rival']}`", *(_cell(row[preset]) for preset in COMPARED)]
            + [_cell(row["over_mean_guidance"][preset]) for preset in COMPARED]
            + [_cell(row["over_length"]["fast"])]
        )
    head = ["task", "best single-model number", *(f"`{preset}` over it" for preset in COMPARED)]
    head += [f"`{preset}` over the mean guidance" for preset in COMPARED]
    return table([*head, "`fast` over the better text length"], rows)


def ablations(found: Found) -> list[str]:
    """Shipped experts: fewer experts, other noise, later steps."""
    rows = []
    for case, presets in found["ablations"].items():
        cells = [f"{presets[p]['mean_auroc']:.2f} ({presets[p]['rank_correlation']:.2f})" for p in PRESETS]
        rows.append([case, *cells])
    return table(["case", *(f"`{p}`" for p in PRESETS)], rows)


def regression(found: Found) -> list[str]:
    """Shipped experts: standardised weights on the score's rank."""
    names = {label: column for label, column in SHOWN.items() if column in found["regression"]}
    causes = next(iter(found["regression"].values()))
    rows = [
        [cause.replace("_", " "), *(_cell(found["regression"][c][cause]) for c in names.values())] for cause in causes
    ]
    return table(["standardised weight of", *names], rows)


def worlds(found: Found) -> list[str]:
    """Every world with four experts: the goals' figures for the default, and its rivals."""
    rows = []
    for name, world in found.get("worlds", {}).items():
        if "base_4" not in world:
            continue
        figures = world["base_4"]
        means = sets_of(world)["base_4"]
        for label in (*PRESETS, "response", "guidance", "guidance_mean", "tokens"):
            column = PRESETS.get(label, label)
            auroc = figures["auroc"]
            cells = [f"{auroc[task][column]['value']:.2f}" for task in WORLD_TASKS]
            bad = figures["fail_auroc"].get(column)
            rho = figures["spearman_share_score"][column]["value"]
            rows.append(
                [
                    name if label == "fast" else "",
                    f"`{label}`",
                    f"{rho:+.2f}",
                    *cells,
                    f"{means[label]:.2f}",
                    _cell(bad) if bad else "",
                ]
            )
    head = [
        "world",
        "number",
        "rank correlation with share",
        *(NAMES[task] for task in WORLD_TASKS),
        "mean",
        "bad picture",
    ]
    return table(head, rows) if rows else []


WORLD_TASKS = ("unseen_language", "held_out_concept", "under_sampled", "nonsense", "word_salad", "typo")


def within(found: Found) -> list[str]:
    """Shipped experts and every world: strings of one language told apart, and the causes of the score's rank."""
    rows = []
    for name, figures in _in_full(found).items():
        auroc, weights = figures["within_language"]["auroc"], figures["regression"]
        columns = [PRESETS[preset] for preset in COMPARED]
        cells = [_cell(auroc[column]) for column in (*columns, "guidance", "tokens")]
        cells += [
            " and ".join(f"{weights[c][cause]['value']:+.2f}" for cause in ("exposure", "tokens")) for c in columns
        ]
        rows.append([name, *cells])
    head = ["experts", *(f"`{preset}`" for preset in COMPARED), "`guidance`", "`tokens`"]
    return table([*head, *(f"`{preset}`: weights of exposure and of tokens" for preset in COMPARED)], rows)


def sets(found: Found) -> list[str]:
    """Mean AUROC by set of experts, world by world."""
    columns = {name: sets_of(world) for name, world in found.get("worlds", {}).items()}
    if not columns:
        return []
    rows = []
    for label, title in LABELS.items():
        for preset in PRESETS:
            cells = [
                f"{means[label][preset]:.2f}" if preset in means.get(label, {}) else "" for means in columns.values()
            ]
            if any(cells):
                rows.append([title, f"`{preset}`", *cells])
    return table(["experts", "preset", *columns], rows)


def languages(found: Found) -> list[str]:
    """Shipped experts and every world: how far down the scores follow the order of the languages."""
    told = ("order_well_shown", "never_against_well", "never_against_seldom")
    limits = {"shipped": found["languages"]} | {n: w["languages"] for n, w in found.get("worlds", {}).items()}
    rows = []
    for name, figures in _in_full(found).items():
        for preset in (TOLD, "thorough", "fast"):
            of = [figures["spearman_share_score"][PRESETS[preset]], *(limits[name][preset][key] for key in told)]
            rows.append([name if preset == TOLD else "", f"`{preset}`", *(_cell(one) for one in of)])
    head = ["experts", "preset", "rank correlation, all nine", "the five shown most"]
    return table([*head, "never shown against shown well", "never shown against shown seldom"], rows)


def own_seeds(found: Found) -> list[str]:
    """Every world: what the default gains with experts of their own seeds over those of one base."""
    rows = [
        [name, *(_cell(world["own_seeds"][task]) for task in (*WORLD_TASKS, "mean"))]
        for name, world in found.get("worlds", {}).items()
        if "own_seeds" in world
    ]
    return table(["world", *(NAMES[task] for task in WORLD_TASKS), "mean over all tasks"], rows) if rows else []


def choice(found: Found) -> list[str]:
    """Candidates: chosen on one split, reported on the others."""
    chosen = found.get("choice")
    if not chosen:
        return []
    means = chosen["mean_auroc"]
    order = sorted(means["chosen_on"], key=lambda name: -means["chosen_on"][name])
    kept = [name for name in order if name in order[:10] or name in chosen["reported"]]
    return table(
        ["number", "split 0, where the choice was made", "the other splits"],
        [[f"`{name}`", f"{means['chosen_on'][name]:.3f}", f"{means['reported_on'][name]:.3f}"] for name in kept],
    )


def again(found: Found) -> list[str]:
    """Worlds that were trained more than once from scratch: mean AUROC over six tasks, training by training."""
    told = found.get("again")
    if not told:
        return []
    numbers = [name for name in NUMBERS if name in told["reach"]]
    rows = [
        [world, *(", ".join(f"{mean:.2f}" for mean in means.get(name, [])) for name in numbers)]
        for world, means in told["mean_auroc"].items()
    ]
    rows.append(["an AUROC of 0.90 is found again between", *(_span(told["reach"][name]) for name in numbers)])
    shares = [" of ".join(map(str, told["left_out"].get(name, []))) for name in numbers]
    rows.append(["figures of the last training within", *shares])
    return table(["world", *(f"`{name}`" for name in numbers)], rows)


def _span(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2f} and {ends[1]:.2f}"


TABLES: dict[str, Callable[[Found], list[str]]] = {
    one.__name__: one
    for one in (
        tasks,
        everything,
        failures,
        quartiles,
        gain,
        ablations,
        regression,
        worlds,
        within,
        sets,
        languages,
        own_seeds,
        choice,
        again,
    )
}
