"""Writes the measured figures: the demo's into README.md and README.ja.md, the groups' into docs/validity.md.

bash scripts/demo.sh --json demo.json
python benchmarks/validity.py --json validity.json
python tools/screenshots/figures.py demo.json validity.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ALPHA = 0.1
GROUPS = {
    "fresh": "English, names not in the calibration",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "it": "Italian",
    "fi": "Finnish",
    "pl": "Polish",
    "sw": "Swahili",
    "ja": "Japanese",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "hu": "Hungarian",
    "ru": "Russian",
    "zh": "Chinese",
    "under_sampled": "things shown seldom (English)",
    "held_out": "things never shown (English)",
    "faces": "smiley faces, never shown (English)",
    "nonsense": "random letters",
    "word_salad": "two known words together",
    "typos": "misspelt words",
    "keywords": "other words for known pictures (English)",
}
TASKS = {"held_out": "held_out_concept", "faces": "held_out_group", "typos": "typo", "keywords": "keyword"}
DEFAULT = "layout"
COLUMNS = {
    "layout": "noise_pred.centred_layout",
    "fast": "mid_out.relative",
    "paper": "mid_out.variance",
    "response": "response",
}
DEMO_GROUPS = {
    "English": "英語",
    "French": "フランス語",
    "German": "ドイツ語",
    "Finnish": "フィンランド語",
    "Swahili": "スワヒリ語",
    "Japanese": "日本語",
    "held-out concept": "見せていない物",
    "held-out face": "見せていない顔",
    "nonsense": "でたらめ",
    "unseen script": "見せていない文字",
}
WORDS = (
    {
        "demo": "What `bash scripts/demo.sh` prints (workflow *gate_before_generation*, preset `layout`, `alpha` {alpha:g}):",
        "head": ("prompt", "group", "score", "percentile", "p-value", "verdict", "image"),
        "image": ("yes", "no"),
    },
    {
        "demo": "`bash scripts/demo.sh`の出力(ワークフロー*gate_before_generation*、プリセット`layout`、`alpha` {alpha:g}):",
        "head": ("プロンプト", "グループ", "スコア", "percentile", "p-value", "判定", "画像"),
        "image": ("あり", "なし"),
    },
)
GROUPS_WORDS = (
    "{count} prompts per group (`python benchmarks/validity.py`). *Blocked* is the share that the Gate stops at `alpha` "
    "{alpha:g}. The other columns say how often a prompt of the group scores higher than an English one (AUROC: 0.5 is "
    "chance, 1 is always), with 95 % intervals for `layout`; `response` is the baseline without an ensemble."
)
GROUPS_HEAD = ("group", "share of the training captions", "blocked", "`layout`", "`fast`", "`paper`", "`response`")


def row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def demo_table(runs: list[dict[str, Any]], language: int) -> list[str]:
    words = WORDS[language]
    lines = [words["demo"].format(alpha=ALPHA), "", row(words["head"]), row("---" for _ in words["head"])]
    for run in runs:
        if run["workflow"] != "gate_before_generation":
            continue
        group = DEMO_GROUPS[run["group"]] if language else run["group"]
        cells = [
            f"`{run['prompt']}`",
            group,
            f"{run['score']:.3f}",
            f"{run['percentile']:.1f}",
            f"{run['p_value']:.3f}",
        ]
        lines.append(row([*cells, run["verdict"], words["image"][0 if run["images"] else 1]]))
    return lines


def blocked(scores: list[float], calibration: list[float]) -> float:
    """Share of scores whose conformal p-value is at most alpha."""
    p_values = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    return sum(p <= ALPHA for p in p_values) / len(scores)


def default_calibration() -> list[float]:
    kept = (ROOT / "emoe_core" / "demo" / "calibrations" / f"{DEFAULT}.json").read_text("utf-8")
    return list(json.loads(kept)["scores"])


def groups_table(figures: dict[str, Any], shares: dict[str, float]) -> list[str]:
    calibration = default_calibration()
    lines = [GROUPS_WORDS.format(count=figures["prompts_a_group"], alpha=ALPHA), ""]
    lines += [row(GROUPS_HEAD), row("---" for _ in GROUPS_HEAD)]
    for group, title in GROUPS.items():
        code = "en" if group == "fresh" else group
        share = "" if code not in shares else f"{100 * shares[code]:.1f} %" if shares[code] else "0"
        cells = [title, share, f"{100 * blocked(figures['scores'][group][DEFAULT], calibration):.0f} %"]
        if group == "fresh":
            cells += ["", "", "", ""]
        else:
            found = (
                figures["auroc_by_language"][group] if group in shares else figures["auroc"][TASKS.get(group, group)]
            )
            first, *others = (found[column] for column in COLUMNS.values())
            cells.append(f"{first['value']:.2f} ({first['low']:.2f}–{first['high']:.2f})")
            cells += [f"{other['value']:.2f}" for other in others]
        lines.append(row(cells))
    return lines


def fill(name: str, mark: str, lines: list[str]) -> None:
    """Puts the lines between the marks of a document.

    Raises:
        SystemExit: the document does not have the marks exactly once.
    """
    path, block = ROOT / name, "\n".join(lines)
    filled, count = re.subn(
        rf"(<!-- figures:{mark} -->\n).*?(<!-- /figures:{mark} -->)",
        lambda found: f"{found[1]}{block}\n{found[2]}",
        path.read_text("utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"error: {name} has no place for the figures.")
    path.write_text(filled, "utf-8")
    print(f"{name}: written")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path, help="written by scripts/demo.sh --json")
    parser.add_argument("validity", type=Path, help="written by benchmarks/validity.py --json")
    options = parser.parse_args()
    runs = json.loads(options.demo.read_text("utf-8"))["runs"]
    figures = json.loads(options.validity.read_text("utf-8"))
    truth = json.loads((ROOT / "emoe_core" / "demo" / "ground_truth.json").read_text("utf-8"))
    shares = {code: language["share"] for code, language in truth["languages"].items()}
    for language, name in enumerate(("README.md", "README.ja.md")):
        fill(name, "demo", demo_table(runs, language))
    fill("docs/validity.md", "groups", groups_table(figures, shares))


if __name__ == "__main__":
    main()
