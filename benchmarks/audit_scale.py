"""How the audit scales: throughput, memory, batches against single prompts, and what a kill costs.

    python benchmarks/audit_scale.py [--sizes 1000,10000] [--kill 10000] [--pairs 96] [--ray N] [--folder DIR] [--json FILE]

Audits made-up prompts (pairs of emoji names in fourteen languages) with the demo experts on the CPU. Each size runs in its own
process, started with the users' command. Memory is that process's peak resident set. With --folder the audits are kept
there, so that a stopped run can continue; --short uses one noise sample (for 100,000 prompts and more).
`--kill N` audits N prompts in a process that is killed twice on the way, and counts every prompt afterwards.
`--ray N` audits N prompts with the engine ray on two workers and compares the table with the local engine's.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))


def write_prompts(path: Path, count: int) -> Path:
    """`count` different prompts, the same for the same count; every prompt occurs in all languages."""
    truth = json.loads((ROOT / "emoe_core" / "demo" / "ground_truth.json").read_text("utf-8"))
    names = [concept["names"] for concept in truth["concepts"]]
    languages, rng, seen = sorted(truth["languages"]), random.Random(0), set()
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "language", "id"])
        written = 0
        while written < count:
            chosen = tuple(rng.sample(range(len(names)), rng.choice((1, 2, 2, 3))))
            if chosen in seen:
                continue
            seen.add(chosen)
            for language in languages[: count - written]:
                table.writerow([" ".join(names[i][language] for i in chosen), language, len(seen)])
                written += 1
    return path


def command(prompts: Path, out: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "emoe_core", "audit", str(prompts), "--experts", "demo", "--cpu", "--out", str(out)]
    return [*start, "--no-report", "--json", *more]


def rows(out: Path) -> int:
    """How many prompts are in an audit, which may be running."""
    try:
        with sqlite3.connect(f"{(out / 'audit.sqlite').as_uri()}?mode=ro", uri=True, timeout=10) as db:
            return int(db.execute("SELECT COUNT(*) FROM prompts").fetchone()[0])
    except sqlite3.Error:
        return 0


def audit(prompts: Path, out: Path, *more: str) -> dict[str, Any]:
    """One audit in its own process: seconds, processor seconds, peak memory."""
    before, started = rows(out), time.monotonic()
    child = subprocess.Popen(command(prompts, out, *more), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    said = child.stdout.read()
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 2):
        raise SystemExit(f"the audit ended with {child.returncode}: {said.decode(errors='replace')}")
    summary = json.loads(said)
    if "error" in summary:
        raise SystemExit(f"the audit could not be made: {summary['error']}")
    return {
        "prompts": summary["prompts"],
        "scored_now": summary["prompts"] - before,
        "failed": summary["failed"],
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def killed_twice(prompts: Path, out: Path, count: int, *more: str) -> dict[str, Any]:
    """Kills the audit after a third and after two thirds, lets it end, and checks the result."""
    at = []
    for share in (1, 2):
        child = subprocess.Popen(
            command(prompts, out, *more), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while rows(out) < count * share // 3:
            if child.poll() is not None:
                raise SystemExit("the audit ended before it was killed")
            time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
        child.wait()
        at.append(rows(out))
    last = audit(prompts, out, *more)
    with sqlite3.connect(out / "audit.sqlite") as db:
        total, different, missing, failed = db.execute(
            "SELECT COUNT(*), COUNT(DISTINCT row), ? - COUNT(*), SUM(error IS NOT NULL) FROM prompts", (count,)
        ).fetchone()
    with prompts.open(encoding="utf-8", newline="") as file:
        wanted = [row["prompt"] for row in csv.DictReader(file)]
    with sqlite3.connect(out / "audit.sqlite") as db:
        kept = [text for (text,) in db.execute("SELECT prompt FROM prompts ORDER BY row")]
    return {
        "killed_at": at,
        "rows": total,
        "different_rows": different,
        "missing": missing,
        "failed": failed,
        "as_in_the_file": kept == wanted,
        "scored_by_the_last_run": last["scored_now"],
    }


def batched_against_single(count: int) -> dict[str, Any]:
    """Processor seconds per prompt, in turns of 16 in one process, so that both see the same machine."""
    import torch
    from emoe_host.inprocess import import_comfyui, load_pack

    with tempfile.TemporaryDirectory() as base:
        import_comfyui(Path(os.environ["EMOE_BENCHMARK_HOST"]), Path(base))
        pack = load_pack(Path(base))
        host = pack.emoe_core.hosts.comfyui
        experts = host.experts.demo_set.embedded_experts()
        options = pack.emoe_core.scoring.presets.ScoreOptions(preset="fast")
        latent = {"samples": torch.zeros(1, 4, 16, 16)}
        path = write_prompts(Path(base) / "p.csv", count)
        with path.open(encoding="utf-8", newline="") as file:
            prompts = sorted((row["prompt"] for row in csv.DictReader(file)), key=len)  # as the engine sorts them
        spent, scores = {"batched": 0.0, "single": 0.0}, dict[str, list[float]](batched=[], single=[])
        scorers = {
            "batched": host.auditing.ComfyScorer(experts, latent, options),
            "single": host.auditing.ComfyScorer(experts, latent, options, batch_size=1),
        }
        for scorer in scorers.values():
            scorer.about()
            scorer.score(prompts[:4])
        size = scorers["batched"].batch_size
        for start in range(0, count, size):
            for name, scorer in scorers.items():
                began = time.process_time()
                scores[name] += [row.score for row in scorer.score(prompts[start : start + size])]
                spent[name] += time.process_time() - began
    differences = [abs(a - b) / b for a, b in zip(scores["batched"], scores["single"], strict=True)]
    return {
        "prompts": count,
        "batch": size,
        "batched_ms": 1000 * spent["batched"] / count,
        "single_ms": 1000 * spent["single"] / count,
        "times_as_fast": spent["single"] / spent["batched"],
        "largest_relative_difference": max(differences),
    }


def ray_table(prompts: Path, folder: Path) -> dict[str, Any]:
    """The same audit by the local engine and by two workers."""
    engines = {"local": (), "ray": ("--engine", "ray", "--workers", "2")}
    figures = {name: audit(prompts, folder / name, *more) for name, more in engines.items()}
    tables = []
    for name in engines:
        with sqlite3.connect(folder / name / "audit.sqlite") as db:
            tables.append(
                db.execute("SELECT row, prompt, score, response, tokens FROM prompts ORDER BY row").fetchall()
            )
    differences = [abs(a[2] - b[2]) / a[2] for a, b in zip(*tables, strict=True)]
    return {
        "prompts": len(tables[0]),
        "same_rows": [r[:2] for r in tables[0]] == [r[:2] for r in tables[1]],
        "identical_scores": sum(d == 0 for d in differences),
        "largest_relative_difference": max(differences),
        "local_seconds": figures["local"]["seconds"],
        "ray_seconds": figures["ray"]["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000", help="numbers of prompts (default 1000,10000)")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="audit N prompts, killed twice on the way")
    parser.add_argument(
        "--pairs", type=int, default=96, metavar="N", help="prompts scored in batches and one by one (96)"
    )
    parser.add_argument("--ray", type=int, default=0, metavar="N", help="compare the engines on N prompts")
    parser.add_argument("--short", action="store_true", help="one noise sample")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the audits here, and go on with them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    options = parser.parse_args()
    if not os.environ.get("EMOE_BENCHMARK_HOST"):
        from emoe_host.prepare import prepare

        host = prepare()
        os.environ |= {"EMOE_BENCHMARK_HOST": str(host.comfyui), "COMFYUI_PATH": str(host.comfyui)}
        os.execv(str(host.python), [str(host.python), __file__, *sys.argv[1:]])
    more = ("--noise-samples", "1") if options.short else ()
    figures: dict[str, Any] = {"cores": os.cpu_count(), "short": options.short}
    with tempfile.TemporaryDirectory() as own:
        folder = options.folder or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        for size in [int(text) for text in options.sizes.split(",") if text.strip()]:
            path = write_prompts(folder / f"{size}.csv", size)
            found = figures[f"audit_{size}"] = audit(path, folder / f"audit_{size}", *more)
            pace = found["scored_now"] / found["seconds"]
            print(
                f"{found['prompts']} prompts: {found['seconds']:.0f} s ({pace:.1f} prompts/s; {found['cpu_seconds']:.0f} s of "
                f"processor), peak memory {found['peak_mb']:.0f} MB, {found['failed']} failed"
            )
        if options.kill:
            path = write_prompts(folder / f"kill_{options.kill}.csv", options.kill)
            figures["killed"] = killed_twice(path, folder / f"audit_kill_{options.kill}", options.kill, *more)
            print(f"killed twice: {figures['killed']}")
        if options.ray:
            path = write_prompts(folder / f"ray_{options.ray}.csv", options.ray)
            figures["ray"] = ray_table(path, folder)
            print(f"ray: {figures['ray']}")
    if options.pairs:
        found = figures["batched"] = batched_against_single(options.pairs)
        print(
            f"batched {found['batched_ms']:.1f} ms, one by one {found['single_ms']:.1f} ms per prompt: "
            f"{found['times_as_fast']:.1f} times as fast; scores differ by {found['largest_relative_difference']:.1g}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
