"""The audit's loop and its results, with a scorer whose scores are known."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from emoe_testing.known import Known
from scipy.stats import mannwhitneyu, wilcoxon

from emoe_core.audit.analysis import Options, analyse
from emoe_core.audit.engine import run
from emoe_core.audit.plan import read_plan
from emoe_core.audit.result import HIGHER, NONE, AuditResult
from emoe_core.audit.store import COLUMNS, Store
from emoe_core.errors import EMoEError

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, lines: Sequence[Sequence[object]]) -> Path:
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")
    return path


def parallel(path: Path, languages: Sequence[str] = ("en", "fi", "sw"), count: int = 30) -> Path:
    rows = [(f"{lang} thing {i}", lang, f"c{i}") for i in range(count) for lang in languages]
    return write(path, [("prompt", "language", "id"), *rows])


def test_an_audit_from_file_to_result(tmp_path: Path) -> None:
    plan = read_plan(parallel(tmp_path / "p.tsv"))
    assert plan.groups == ("language",) and plan.id_column == "id" and plan.total == 90
    scorer, told = Known({"fi": 0.4, "sw": 0.9}), list[tuple[int, int]]()
    with run(plan, scorer, tmp_path / "out", lambda done, total, left: told.append((done, total))) as store:
        result = analyse(store, Options(alpha=0.05))
    assert told[0] == (0, 90) and told[-1] == (90, 90)
    assert max(map(len, scorer.calls)) == 8 and sum(map(len, scorer.calls)) == 90
    assert [group.value for group in result.of_column("language")] == ["sw", "fi", "en"]
    swahili, english = result.group("language", "sw"), result.group("language", "en")
    assert swahili.finding == HIGHER and swahili.effect and swahili.effect.paired and swahili.effect.n == 30
    assert english.effect and english.effect.delta < -0.5
    assert swahili.blocked and swahili.blocked_low and swahili.blocked_low < swahili.blocked
    assert swahili.worst[0].score == swahili.score.maximum  # type: ignore[union-attr]
    assert swahili.text and swahili.text.tokens == 5.0
    assert swahili.concepts and swahili.concepts[0].text.startswith("en thing")
    assert [p.value for p in result.priorities] == ["sw"] or [p.value for p in result.priorities][0] == "sw"
    assert result.agreement["response"] == pytest.approx(-1)
    assert AuditResult.load(tmp_path / "out") == result
    assert AuditResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result
    assert any("sw" in line for line in result.lines())


def test_a_reference_and_weights_change_what_comes_first(tmp_path: Path) -> None:
    plan = read_plan(parallel(tmp_path / "p.tsv"))
    with run(plan, Known({"fi": 0.6, "sw": 0.9}), tmp_path / "out") as store:
        weights = {("language", "fi"): 50.0}
        result = analyse(store, Options(references=("language=en",), weights=weights))
    assert result.group("language", "en").effect is None
    assert [p.value for p in result.priorities] == ["fi", "sw"] and result.priorities[0].weight == 50
    assert result.priorities[0].share > 0.9 and "language=en" in result.priorities[0].reason


def test_an_ended_audit_is_not_scored_again_and_its_errors_only_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", [("prompt", "topic"), *((f"a {i}", "x") for i in range(20)), ("FAIL", "y")])
    plan = read_plan(path)
    with run(plan, Known(), tmp_path / "out") as store:
        assert store.done() == 21 and store.failed() == 1
    again = Known()
    run(plan, again, tmp_path / "out").close()
    assert again.calls == []
    run(plan, again, tmp_path / "out", retry=True).close()
    assert again.calls == [["FAIL"]]


def test_another_file_or_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    path = parallel(tmp_path / "p.tsv")
    run(read_plan(path), Known(), tmp_path / "out").close()
    with pytest.raises(EMoEError, match="seed was 0 and is 1"):
        run(read_plan(path), Known(seed=1), tmp_path / "out")
    with pytest.raises(EMoEError, match="group columns were"):
        run(read_plan(path, groups=[]), Known(), tmp_path / "out")
    text = path.read_text().replace("fi thing 0", "fi ding 0", 1)
    path.write_text(text)
    with pytest.raises(EMoEError, match=r"changed at line 3 \(was 'fi thing 0', is 'fi ding 0'\)"):
        run(read_plan(path), Known(), tmp_path / "out")
    path.write_text(text.replace("fi ding 0", "fi thing 0") + "more\ten\tc99\n")
    with pytest.raises(EMoEError, match="had 90 prompts and has 91"):
        run(read_plan(path), Known(), tmp_path / "out")


def test_an_audit_where_everything_fails_stops_early(tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", [(f"FAIL {i}",) for i in range(500)])
    scorer = Known()
    with pytest.raises(EMoEError, match="None of the first 24 prompts.*it holds FAIL"):
        run(read_plan(path), scorer, tmp_path / "out")
    assert len(scorer.calls) == 3
    with pytest.raises(EMoEError, match=r"Mend that and start it again with --retry-errors\.$"):
        run(read_plan(path), scorer, tmp_path / "command")
    with pytest.raises(EMoEError, match=r"Mend that and queue the graph again\.$"):
        run(read_plan(path), scorer, tmp_path / "node", again="queue the graph again")


def test_odd_rows_are_kept_or_named(tmp_path: Path) -> None:
    """Long, controlled, right-to-left, emoji, doubled ids, an empty group, a group of failures."""
    prompts = [("x" * 50_000, "long", "1"), ("bell \x07 and escape \x1b", "odd", "2"), ("שלום عالم", "rtl", "2")]
    prompts += [("👩‍🚀🏳️‍🌈", "emoji", "3"), ("again", "emoji", "3"), ("none", "", "4"), ("FAIL", "failing", "5")]
    path = write(tmp_path / "p.tsv", [("prompt", "kind", "id"), *prompts])
    plan = read_plan(path, groups=["kind"])
    with run(plan, Known(), tmp_path / "out") as store:
        result = analyse(store)
        kept = {entry["row"]: entry for entry in store.prompts()}
    assert len(kept[1]["prompt"]) == 50_000 and "\x07" not in kept[2]["prompt"] and kept[3]["prompt"] == "שלום عالم"
    said = " ".join(result.warnings)
    assert "1 prompts held control characters" in said and "1 prompts have nothing in the column 'kind'" in said
    assert "'kind=failing' is empty" in said and "1 prompts have an id that their group of 'kind' has already" in said
    failing = result.group("kind", "failing")
    assert failing.n == 0 and failing.failed == 1 and failing.finding == "too few" and failing.score is None
    assert result.rejected == ("line 8: it holds FAIL",)


def test_prompts_of_one_id_in_a_group_count_as_one_with_their_mean() -> None:
    """Twenty sentences in six places of two areas: an area has each sentence three times."""
    rng, sentences = np.random.default_rng(3), 20
    scores = rng.lognormal(0, 0.5, (sentences, 6)) + np.repeat([0.5, 0.0], 3)
    with Store.open(":memory:") as store:
        rows, members = [], []
        for number, (sentence, place) in enumerate(np.ndindex(sentences, 6), start=1):
            values = (float(scores[sentence, place]), *[None] * 6)
            row = (number, number, f"s{sentence}", "p", "{}", *values, None, None, None, 2, None, None)
            rows.append(dict(zip(COLUMNS, row, strict=True)))
            members += [("place", f"p{place}", number), ("area", "north" if place < 3 else "south", number)]
        store.add(rows, members)
        result = analyse(store, Options(references=("area=south",)))
    gaps = scores[:, :3].mean(axis=1) - scores[:, 3:].mean(axis=1)
    effect = result.group("area", "north").effect
    assert effect.paired and effect.p == pytest.approx(wilcoxon(gaps).pvalue)
    assert effect.delta == pytest.approx(np.sign(gaps).mean())
    unpaired = result.group("area", "north").unpaired
    means = scores[:, :3].mean(axis=1), scores[:, 3:].mean(axis=1)
    assert unpaired.p == pytest.approx(mannwhitneyu(*means).pvalue)
    assert result.group("place", "p0").effect.paired and "80 prompts have an id" in " ".join(result.warnings)


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(EMoEError, match=r"no column 'region' \(--group\); its columns are language, id"):
        read_plan(parallel(tmp_path / "p.tsv"), groups=["region"])
    with pytest.raises(EMoEError, match=r"no column 'key' \(--id\)"):
        read_plan(parallel(tmp_path / "p.tsv"), id_column="key")


def test_no_group_is_flagged_where_nothing_differs() -> None:
    """200 random regroupings of one group into three: at most 5 % have a finding, with and without pairs."""
    alarms = {"plain": 0, "paired": 0}
    rng = np.random.default_rng(1)
    for kind in alarms:
        for _ in range(100):
            scores = rng.lognormal(0, 0.8, 45)
            store = Store.open(":memory:")
            rows, members = [], []
            for i, score in enumerate(scores, start=1):
                group = f"g{i % 3}" if kind == "paired" else f"g{rng.integers(3)}"
                pid = f"c{(i - 1) // 3}" if kind == "paired" else ""
                values = (float(score), *[None] * 6)
                row = (i, i, pid, f"prompt {i}", "{}", *values, None, None, None, 2, None, None)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
                members.append(("group", group, i))
            store.add(rows, members)
            result = analyse(store)
            assert all((g.effect is not None and g.effect.paired) == (kind == "paired") for g in result.groups)
            alarms[kind] += any(group.finding != NONE for group in result.groups)
            store.close()
    assert sum(alarms.values()) <= 10


def test_a_killed_audit_goes_on_and_every_prompt_is_scored_once(tmp_path: Path) -> None:
    path = parallel(tmp_path / "p.tsv", count=400)
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "support")!r}]
        from emoe_core.audit.engine import run
        from emoe_core.audit.plan import read_plan
        from emoe_testing.known import Known

        kept = 0

        class Held(Known):
            def score(self, prompts):
                with open({str(tmp_path / "scored.txt")!r}, "a") as file:
                    file.write("".join(prompt + "\\n" for prompt in prompts))
                if kept >= int(sys.argv[1]):  # scored and not kept: the worst moment to be killed
                    print("now", flush=True)
                    signal.pause()
                return super().score(prompts)

        def on_progress(done, *_):
            global kept
            kept = done

        run(read_plan({str(path)!r}), Held(), {str(tmp_path / "out")!r}, on_progress)
        """)
    )
    for stop_after in (200, 600):
        with subprocess.Popen(
            [sys.executable, str(script), str(stop_after)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None and child.stdout.readline() == "now\n"
            child.kill()
        assert child.returncode == -signal.SIGKILL
    with run(read_plan(path), Known(), tmp_path / "out") as store:
        kept = [entry["prompt"] for entry in store.prompts()]
    assert len(kept) == len(set(kept)) == 1200
    scored = (tmp_path / "scored.txt").read_text().splitlines()
    assert len(scored) - len(set(scored)) <= 16  # at most the batch that was under way each time is scored again
    fresh = run(read_plan(path), Known(), tmp_path / "fresh")
    assert [e["score"] for e in fresh.prompts()] == [
        e["score"] for e in Store.open(tmp_path / "out" / "audit.sqlite", read_only=True).prompts()
    ]
    fresh.close()


def test_a_file_that_is_no_audit_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite").write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(EMoEError, match="no audit that can be read"):
        run(read_plan(parallel(tmp_path / "p.tsv")), Known(), tmp_path)
    with pytest.raises(EMoEError, match="There is no audit"):
        AuditResult.load(tmp_path / "elsewhere")
