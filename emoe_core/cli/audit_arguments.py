"""The arguments of the audit command."""

import argparse

from ..gating.policies import ALPHA
from .arguments import add_filters, add_options, at_least_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "prompts",
        metavar="PROMPTS",
        help="a file (.txt, .csv, .tsv, .jsonl, .json, .parquet), a built-in set ('concepts', 'regions'), or 'demo'",
    )
    add("--out", required=True, metavar="DIR", help="the audit's folder: made, or gone on with")
    add_filters(parser.add_argument_group("which part of a built-in set"))
    who = parser.add_argument_group("who scores")
    add = who.add_argument
    add(
        "--experts",
        nargs="+",
        metavar="MODEL",
        help="two or more files or folders (names in ComfyUI's model folders with the host comfyui), or 'demo'",
    )
    add("--host", choices=("comfyui", "diffusers"), help="what runs them (comfyui where one is found, else diffusers)")
    add("--comfyui", default="", metavar="DIR", help="ComfyUI's folder (COMFYUI_PATH, or the one this pack lies in)")
    add("--base-directory", default="", metavar="DIR", help="ComfyUI's --base-directory, if that is another")
    add("--cpu", action="store_true", help="compute on the CPU")
    add("--config", default="", metavar="DIR", help="host diffusers: a pipeline folder of the family, for single files")
    add("--device", default="", help="host diffusers: cpu, cuda, ...")
    add("--dtype", default="", choices=("", "float32", "float16", "bfloat16"), help="host diffusers")
    add("--server", default="", metavar="URL[,URL...]", help="running ComfyUI servers, in place of --experts")
    add(
        "--workflow",
        default="",
        metavar="FILE",
        help="with --server: a workflow in API format with one Uncertainty Score",
    )
    how = parser.add_argument_group("how it is scored, as in Uncertainty Score (with --server the workflow says it)")
    add = how.add_argument
    add_options(add, size="512x512; the demo experts 128x128")
    add("--batch", type=at_least_one, metavar="N", help="prompts in one call (what fits the size)")
    add("--calibration", default="", metavar="FILE", help="for p-values and block rates; the demo experts bring theirs")
    what = parser.add_argument_group("what is compared")
    add = what.add_argument
    add(
        "--group",
        action="append",
        metavar="COLUMN",
        help="a group column; may be given several times (all that repeat)",
    )
    add("--id", metavar="COLUMN", help="what is equal for translations of one prompt (id or the like); '' for none")
    add(
        "--reference",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="compare the column's groups with this one instead of all others; once per column",
    )
    add("--english", metavar="FILE", help="English words, one per line, beside those of the file's English prompts")
    add("--weight", default="", metavar="COLUMN", help="a column with numbers: how much a prompt's market counts")
    add("--weights", metavar="FILE", help="a table with the columns weight and language (or whatever the groups are)")
    add("--alpha", type=float, default=ALPHA, help=f"p-values up to this count as blocked ({ALPHA})")
    run_ = parser.add_argument_group("the run")
    add = run_.add_argument
    add("--engine", choices=("local", "ray"), default="local", help="ray: several processes or machines (extra ray)")
    add("--workers", type=at_least_one, default=2, metavar="N", help="with --engine ray: how many (2)")
    add("--ray-address", default="local", metavar="ADDRESS", help="with --engine ray: a cluster (one of this machine)")
    add("--retry-errors", action="store_true", help="try the prompts again that could not be scored before")
    add("--export", action="append", default=[], choices=("csv", "jsonl", "parquet"), help="write the scores as well")
    add("--no-report", action="store_true", help="do not write report.html")
    add(
        "--report-language",
        choices=("en", "ja"),
        default="en",
        help="the language that report.html opens in (en); it holds both",
    )
    add("--fail-on-reject", action="store_true", help="exit code 1 when prompts were blocked")
    add("--json", action="store_true", help="print a summary as JSON at the end")
