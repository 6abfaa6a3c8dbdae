"""Writes the measured figures into README.md and README.ja.md, between their `figures:demo` marks.

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
    "fresh": ("English, names not in the calibration", "英語(キャリブレーションにない名前)"),
    "fr": ("French", "フランス語"),
    "de": ("German", "ドイツ語"),
    "es": ("Spanish", "スペイン語"),
    "it": ("Italian", "イタリア語"),
    "fi": ("Finnish", "フィンランド語"),
    "pl": ("Polish", "ポーランド語"),
    "sw": ("Swahili", "スワヒリ語"),
    "ja": ("Japanese", "日本語"),
    "tr": ("Turkish", "トルコ語"),
    "vi": ("Vietnamese", "ベトナム語"),
    "hu": ("Hungarian", "ハンガリー語"),
    "ru": ("Russian", "ロシア語"),
    "zh": ("Chinese", "中国語"),
    "under_sampled": ("things shown seldom (English)", "まれにしか見せていない物(英語)"),
    "held_out": ("things never shown (English)", "一度も見せていない物(英語)"),
    "faces": ("smiley faces, never shown (English)", "一度も見せていない顔(英語)"),
    "nonsense": ("random letters", "でたらめな文字列"),
    "word_salad": ("two known words together", "知っている単語二つの組"),
    "typos": ("misspelt words", "綴りの誤り"),
    "keywords": ("other words for known pictures (English)", "知っている絵の別の言い方(英語)"),
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
        "demo_head": ("prompt", "group", "score", "percentile", "p-value", "verdict", "image"),
        "image": ("yes", "no"),
        "groups": "And by group, {count} prompts each (`python benchmarks/validity.py`). *Blocked* is the share that the Gate "
        "stops at `alpha` {alpha:g}. The other columns say how often a prompt of the group scores higher than an English one "
        "(AUROC: 0.5 is chance, 1 is always), with 95 % intervals for `layout`; `response` is the baseline without an "
        "ensemble.",
        "groups_head": (
            "group",
            "share of the training captions",
            "blocked",
            "`layout`",
            "`fast`",
            "`paper`",
            "`response`",
        ),
    },
    {
        "demo": "`bash scripts/demo.sh`の出力(ワークフロー*gate_before_generation*、プリセット`layout`、`alpha` {alpha:g}):",
        "demo_head": ("プロンプト", "グループ", "スコア", "percentile", "p-value", "判定", "画像"),
        "image": ("あり", "なし"),
        "groups": "グループごと、{count}プロンプトずつ(`python benchmarks/validity.py`)。*停止*は、`alpha` {alpha:g}で"
        "Gateが止める割合です。ほかの列は、そのグループのプロンプトが英語のものより高いスコアになる割合(AUROC。0.5は偶然と同じ、1は常に)です。"
        "`layout`には95 %区間を添えました。`response`はアンサンブルなしの基準です。",
        "groups_head": (
            "グループ",
            "学習した説明文に占める割合",
            "停止",
            "`layout`",
            "`fast`",
            "`paper`",
            "`response`",
        ),
    },
)


def row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def demo_table(runs: list[dict[str, Any]], language: int) -> list[str]:
    words = WORDS[language]
    alpha = ALPHA
    lines = [words["demo"].format(alpha=alpha), "", row(words["demo_head"]), row("---" for _ in words["demo_head"])]
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


def groups_table(figures: dict[str, Any], shares: dict[str, float], language: int) -> list[str]:
    words, calibration = WORDS[language], default_calibration()
    lines = [words["groups"].format(count=figures["prompts_a_group"], alpha=ALPHA), ""]
    lines += [row(words["groups_head"]), row("---" for _ in words["groups_head"])]
    for group, titles in GROUPS.items():
        code = "en" if group == "fresh" else group
        share = "" if code not in shares else f"{100 * shares[code]:.1f} %" if shares[code] else "0"
        cells = [titles[language], share, f"{100 * blocked(figures['scores'][group][DEFAULT], calibration):.0f} %"]
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
        text = (ROOT / name).read_text("utf-8")
        block = "\n".join([*demo_table(runs, language), "", *groups_table(figures, shares, language)])
        filled, count = re.subn(
            r"(<!-- figures:demo -->\n).*?(<!-- /figures:demo -->)",
            lambda found, block=block: f"{found[1]}{block}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"error: {name} has no place for the figures.")
        (ROOT / name).write_text(filled, "utf-8")
        print(f"{name}: written")


if __name__ == "__main__":
    main()
