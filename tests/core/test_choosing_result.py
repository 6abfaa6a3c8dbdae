"""What a choice says: sentences, tables, settings and workflows; and the command that shows it again."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emoe_testing.choices import about, pool, spent
from numpy.typing import NDArray

from emoe_core.choosing.asking import candidates, choose_graph, file_of, scheduled
from emoe_core.choosing.products import Products, joined, products
from emoe_core.choosing.record import Block, Kept, Record, read
from emoe_core.choosing.result import Choice, choose
from emoe_core.choosing.sweep import LOSS, sweep
from emoe_core.cli.arguments import one_per_line
from emoe_core.cli.main import main
from emoe_core.errors import EMoEError
from emoe_core.io.console import size_text
from emoe_core.records.calibration import Calibration
from emoe_core.records.message import Code
from emoe_core.stats.evaluation import Floats, spearman
from emoe_core.trial.store import Drawn, Trial

ROOT = Path(__file__).resolve().parents[2]
POOL = pool(0, "copy", experts=5, pairs=60, worth=[1.2, 1.2, 1.2, 0], dimensions=100, samples=2)
LEVELS = 2


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("choices") / "mine.choice.jsonl"
    kept = Kept(found, about(POOL, LEVELS))
    here = {"layout": POOL.products, "shift": POOL.products, "prompt": POOL.products}
    kept.add(Block(tuple([here] * LEVELS), tuple([spent(5, 360)] * LEVELS), 0.4))
    kept.close()
    return found


@pytest.fixture(scope="module")
def record(path: Path) -> Record:
    return read(path)


@pytest.fixture(scope="module")
def found(record: Record) -> Choice:
    return choose(record)


def test_it_says_which_experts_and_which_settings_in_two_languages(found: Choice) -> None:
    messages = found.messages()
    text = "\n".join(map(str, messages))
    assert text.startswith("Take ") and "answers as" in text and "Cheapest setting that loses at most 0.02" in text
    assert all(message.line("ja") and "{" not in message.line("ja") for message in messages)
    body = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert body["selection"]["chosen"] == list(found.selection.chosen)
    assert body["warnings"] == list(map(str, messages))
    for head, rows, marked in found.tables():
        assert all(len(row) == len(head) for row in rows) and sum(marked) == 1 and len(marked) == len(rows)


def test_one_expert_that_does_better_alone_is_named(tmp_path: Path, record: Record, found: Choice) -> None:
    """Styles: each expert draws what it knows its own way, and all of them do next to nothing where they know nothing."""
    assert found.sweep.better_alone is None and not any(one.code is Code.STYLES for one in found.messages())
    chance, parts = np.random.default_rng(0), []
    for one in POOL.prompts:
        known = one.kind == "reference"
        size, apart = (1.0, 0.9) if known else (0.3, 0.1)
        shared = chance.normal(size=200)
        parts.append(products([size * (shared + apart * chance.normal(size=(4, 200))) for _ in range(2)]))
    of = replace(POOL, products=joined(parts))
    kept = Kept(tmp_path / "styles.choice.jsonl", about(of))
    kept.add(Block(({"layout": of.products, "shift": of.products, "prompt": of.products},), (spent(4, 360),), 0.4))
    kept.close()
    styles = choose(read(tmp_path / "styles.choice.jsonl"))
    better = styles.sweep.better_alone
    assert better is not None and len(better.experts) == 1 and better.value > 0.95 > 0.1 > styles.sweep.dearest.value
    (said,) = (one for one in styles.messages() if one.code is Code.STYLES)
    assert "alone does better than the chosen experts together" in str(said) and better in styles.sweep.shown()


def test_settings_are_compared_with_the_dearest(found: Choice, record: Record) -> None:
    swept, chosen = found.sweep, found.selection.chosen
    top = swept.dearest
    assert (top.level, top.preset, top.samples, top.experts) == (0, "layout", 2, chosen)
    assert top.agreement == pytest.approx(1) and top.loss.value == 0 and top.calls == 2 * len(chosen)
    ways = {(one.level, one.preset, one.samples, one.experts) for one in swept.settings}
    assert len(ways) == len(swept.settings)
    assert {one.preset for one in swept.settings} == {"fast", "thorough", "paper", "one_model", "layout"}
    cheap = next(one for one in swept.settings if one.preset == "layout" and one.samples == 1 and one.experts == chosen)
    assert cheap.calls == len(chosen) and cheap.seconds == pytest.approx(len(chosen) / 2)
    one, two = record.scores(0, "layout", chosen, 1), record.scores(0, "layout", chosen, 2)
    assert cheap.agreement == pytest.approx(spearman(one, two))
    assert cheap.loss.value == pytest.approx(found.split.report.value(two) - found.split.report.value(one))
    fast = next(one for one in swept.settings if one.preset == "fast" and one.samples == 1 and one.experts == chosen)
    assert fast.calls == pytest.approx(0.4 * len(chosen))
    assert [one.calls for one in swept.settings] == sorted(one.calls for one in swept.settings)


def test_the_advised_setting_is_the_cheapest_that_loses_little(record: Record) -> None:
    for loss in (0.0, LOSS, 1.0):
        swept = choose(record, loss=loss).sweep
        chosen = swept.dearest.experts
        good = [one for one in swept.settings if one.experts == chosen and one.at_most <= loss]
        assert all(one.at_most >= swept.dearest.chosen - one.chosen - 1e-9 for one in swept.settings)
        assert swept.advised.calls == min(one.calls for one in good) and swept.advised.experts == chosen
        assert swept.cheapest.calls <= swept.advised.calls
        assert swept.advised in swept.shown() and swept.dearest in swept.shown()


def test_another_preset_of_the_same_price_is_not_advised(record: Record) -> None:
    """Layout is made noisy, and thorough, which takes as many calls, is not: that is chance. The cheap presets say nothing."""
    factors = np.exp(2 * np.random.default_rng(0).normal(size=(len(record.prompts), 2, 1, 1)))
    made = {"layout": lambda apart: apart * factors, "prompt": np.ones_like, "shift": lambda apart: apart}
    parts = {key: replace(one, apart=made[key[1]](one.apart)) for key, one in record.products.items()}
    swept = choose(replace(record, products=parts), loss=0.02).sweep
    chosen, top = swept.dearest.experts, swept.dearest
    better = [
        one for one in swept.settings if one.preset == "thorough" and one.experts == chosen and one.calls < top.calls
    ]
    assert min(one.at_most for one in better) < 0 and swept.advised.preset == "layout"
    assert all(one is None or one.preset != "thorough" for one in (swept.advised, swept.cheapest, swept.doubtful))


def test_two_stages_of_four_experts_are_compared_too(found: Choice, record: Record) -> None:
    text = "\n".join(map(str, found.messages()))
    assert found.sweep.staged is None and "In two stages" not in text  # too few were chosen
    four, usable = (3, 0, 2, 1), np.ones(len(record.prompts), dtype=bool)
    swept = sweep(record, found.split, [four], usable)
    one = swept.staged
    assert one is not None and one.staged and one not in swept.settings and one in swept.shown()
    assert (one.calls, one.seconds) == (pytest.approx(4), pytest.approx(2)) and swept.dearest.calls == 8
    layout = record.products[0, "layout"]
    halves = [layout.of(four[:2], 1), Products(layout.square[:, 1:], layout.apart[:, 1:]).of(four[2:])]
    own = sum(half.scores("centred_layout") for half in halves) / 2
    full = record.scores(0, "layout", four)
    assert one.loss.value == pytest.approx(found.split.report.value(full) - found.split.report.value(own))
    assert one.agreement == pytest.approx(spearman(own, full)) and one.agreement < 1
    both = replace(found, sweep=swept)
    (said,) = (message for message in both.messages() if message.code is Code.STAGED)
    assert "at most 4 network calls instead of 8" in str(said)
    assert any(row[0] == "layout, staged, 2 x 4, step 0 of 20, 512x512" for row in both.tables()[1][1])


def _easy(record: Record) -> Record:
    """Prompts that every setting tells apart."""
    known = np.array([one.kind == "reference" for one in record.prompts])[:, None, None, None]
    parts = {
        key: replace(one, apart=np.where(known, one.apart / 100, one.apart)) for key, one in record.products.items()
    }
    return replace(record, products=parts)


def test_a_setting_that_only_lacks_prompts_is_named_with_how_many_it_lacks(record: Record) -> None:
    few = choose(_easy(record))
    doubtful = few.sweep.doubtful
    assert few.sweep.advised == few.sweep.dearest and doubtful is not None
    assert doubtful.calls < few.sweep.dearest.calls and doubtful.at_most == pytest.approx(0.0579, abs=1e-4)
    (said,) = (str(one) for one in few.messages() if one.code is Code.MORE_PROMPTS)
    assert "60 known (or marked) prompts could miss a loss of 0.058. Measure about 181 of your own" in said
    enough = choose(_easy(record), loss=0.06)
    assert enough.sweep.advised.calls == doubtful.calls and enough.sweep.doubtful is None
    assert choose(_easy(record), loss=0.0).sweep.doubtful is None  # no number of prompts shows that


def test_copies_alone_rank_nothing(record: Record) -> None:
    parts = {key: replace(one, apart=0 * one.apart) for key, one in record.products.items()}
    found = choose(replace(record, products=parts))
    body = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert any(one["agreement"] is None for one in body["sweep"]["settings"])
    assert not any("nan" in cell for _, rows, _ in found.tables() for row in rows for cell in row)


def test_the_settings_are_a_calibration(found: Choice, tmp_path: Path) -> None:
    made, one = found.calibration("mine"), found.sweep.advised
    made.save(tmp_path / "mine.json")
    assert Calibration.load(tmp_path / "mine.json") == made and len(made.scores) == 60
    assert made.settings.noise_samples == one.samples
    assert made.settings.experts == tuple(found.record.about.experts[number].identity for number in one.experts)
    assert made.settings.tap == ("mid_out" if one.preset in ("fast", "paper") else "noise_pred")


def test_prompts_without_a_score_are_left_out(record: Record) -> None:
    products = {
        key: replace(one, square=one.square.copy(), apart=one.apart.copy()) for key, one in record.products.items()
    }
    for key, one in products.items():
        if key[1] != "prompt":
            one.square[:3], one.apart[:3] = 0, 0
    found = choose(replace(record, products=products))
    assert int((~found.usable).sum()) == 3 and len(found.calibration("x").scores) == 59
    assert "3 prompts say no more than the empty prompt" in "\n".join(map(str, found.messages()))
    assert all(one.agreement is not None for one in found.sweep.settings)


def test_a_prompt_that_two_experts_do_not_read_has_no_score(record: Record) -> None:
    """Their own text encoders may leave out words that another's knows, and then that pair has nothing to compare."""
    chosen = choose(record).selection.chosen
    products = {
        key: replace(one, square=one.square.copy(), apart=one.apart.copy()) for key, one in record.products.items()
    }
    for one in products.values():
        for number in chosen:
            one.square[0, :, number] = 0
            one.apart[0, :, number, :] = one.apart[0, :, :, number] = one.square[0]
    found = choose(replace(record, products=products), most=len(chosen))
    assert list(np.flatnonzero(~found.usable)) == [0] and found.selection.chosen == chosen
    assert np.isfinite(found.calibration("x").scores).all()


def _info() -> dict[str, Any]:
    files = [f"folder/m{number}.safetensors" for number in range(12)]
    score = {name: ["X"] for name in ("experts", "latent_image", "preset", "noise_seed", "steps")}
    return {
        "EMoE_LoadExperts": {"input": {"required": {"expert_1": [files]}}},
        "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [files]}}},
        "EMoE_ChooseExperts": {"input": {"required": score}},
    }


@pytest.mark.parametrize("count", [5, 10])
def test_models_are_found_by_name_and_the_chosen_ones_stay_in_the_workflow(count: int, found: Choice) -> None:
    graph = candidates(
        [f"m{number}" for number in range(count)][-5:]
        if count == 5
        else [f"m{n}" for n in (0, 2, 3, 4, 5, 6, 7, 8, 9)],
        _info(),
        (64, 96),
    )
    made, node = choose_graph(graph, _info(), {"name": "mine", "most": 3})
    asked = made[node]
    assert (
        asked["class_type"] == "EMoE_ChooseExperts"
        and asked["inputs"]["name"] == "mine"
        and asked["inputs"]["steps"] == 20
    )
    assert not {one["class_type"] for one in made.values()} & {"EMoE_Score", "EMoE_EncodeForExperts"}
    chosen, one = found.selection.chosen, found.sweep.advised
    if count == 5:
        done = found.workflow(graph, "mine")
        (loader,) = [node["inputs"] for node in done.values() if node["class_type"] == "EMoE_LoadExperts"]
        assert loader == {f"expert_{place}": f"folder/m{number}.safetensors" for place, number in enumerate(chosen, 1)}
        (score,) = [node["inputs"] for node in done.values() if node["class_type"] == "EMoE_Score"]
        assert (score["preset"], score["noise_samples"]) == (one.preset, one.samples)
        assert done[score["calibration"][0]]["inputs"] == {"name": "mine"}
        assert done["3"]["inputs"]["width"] == 512 and graph["3"]["inputs"]["width"] == 64
        graph["4"]["inputs"]["noise_seed"] = 7  # the settings hold for the seed that was measured with
        assert found.workflow(graph, "mine")["4"]["inputs"]["noise_seed"] == 0
        on_another = scheduled(graph, "karras")
        assert on_another["4"]["inputs"]["scheduler"] == "karras" and graph["4"]["inputs"]["scheduler"] == "normal"
        assert scheduled(graph, None) is graph
    else:
        with pytest.raises(EMoEError, match="cannot be set in it"):
            found.workflow(graph, "mine")


def test_the_size_of_what_is_drawn_stays(found: Choice) -> None:
    graph = candidates([f"m{number}" for number in range(2, 7)], _info(), (1024, 64))
    graph["9"] = {"class_type": "KSampler", "inputs": {"latent_image": ["3", 0]}}
    done = found.workflow(graph, "mine")
    own = done["4"]["inputs"]["latent_image"][0]
    assert done["9"]["inputs"]["latent_image"] == ["3", 0] and done["3"]["inputs"]["width"] == 1024
    assert done[own]["inputs"] == {"width": 512, "height": 512, "batch_size": 1} and len(done) == len(graph) + 2
    same = candidates([f"m{number}" for number in range(2, 7)], _info(), (512, 512))
    same["9"] = graph["9"]
    assert found.workflow(same, "mine")["4"]["inputs"]["latent_image"] == ["3", 0]


def test_a_chain_of_add_expert_keeps_its_end(found: Choice) -> None:
    graph: dict[str, Any] = {}
    for number in range(5):
        inputs: dict[str, Any] = {"model": [f"m{number}", 0], "name": f"n{number}"}
        graph[str(number)] = {"class_type": "EMoE_AddExpert", "inputs": inputs}
        if number:
            inputs["experts"] = [str(number - 1), 0]
    graph["9"] = {"class_type": "EMoE_Score", "inputs": {"experts": ["4", 0]}}
    done = found.workflow(graph, "mine")
    here: Any = done["9"]["inputs"]["experts"]
    names = []
    while here is not None:
        names.insert(0, done[here[0]]["inputs"]["name"])
        here = done[here[0]]["inputs"].get("experts")
    assert names == [f"n{number}" for number in found.selection.chosen]
    assert sum(node["class_type"] == "EMoE_AddExpert" for node in done.values()) == len(names)


def test_models_that_are_not_there_are_one_sentence() -> None:
    for models, said in (
        (["m0", "nope"], "no model file 'nope'"),
        (["m0", "m0"], "two different"),
        (["m", "m0"], "no model file|may be"),
    ):
        with pytest.raises(EMoEError, match=said):
            candidates(models, _info(), (64, 64))
    with pytest.raises(EMoEError, match="not one of this node pack"):
        file_of({"outputs": {}, "status": {"status_str": "success", "completed": True}}, "1")


def test_it_is_shown_again_without_torch_or_a_server(path: Path, tmp_path: Path) -> None:
    code = "import sys; from emoe_core.cli.main import main; sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    command = [
        sys.executable,
        "-c",
        code,
        "choose",
        "show",
        str(path),
        "--json",
        "--most",
        "2",
        "--picture",
        str(tmp_path / "t.png"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["selection"]["steps"]) == 1 and told["files"] == [str(tmp_path / "t.png")]


def test_the_command_writes_settings_and_workflow(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.json").write_text(
        json.dumps(candidates([f"m{number}" for number in range(2, 7)], _info(), (64, 64)))
    )
    words = ["choose", "show", str(path), "--out", str(tmp_path), "--workflow", str(tmp_path / "w.json")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("Take ") and "mine.workflow.json" in out
    assert Calibration.load(tmp_path / "mine.settings.json").name == "mine"
    assert main(words) == 0  # the same again is no other one
    (tmp_path / "mine.settings.json").write_text("another")
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert main(["choose", "show", str(tmp_path / "w.json")]) == 2
    assert "no file that Choose Experts wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "x.choice.jsonl", "--labels", "marks"], "--labels goes with --trial"),
        (["show", "x.choice.jsonl", "--workflow", "w.json"], "--workflow goes with --out"),
        (["run", "--server", "x", "--workflow", "w.json", "--size", "64x64"], "--size goes with --checkpoints"),
    ],
)
def test_what_would_count_for_nothing_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["choose", *words]) == 2 and said in capsys.readouterr().err


def test_marks_of_a_trial_may_choose(
    record: Record, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(tmp_path / "t.sqlite3")
    trial.begin({})
    for number, one in enumerate(POOL.prompts[:60]):
        trial.add(str(number), number, one.text, {}, {}, [Drawn(0, "", f"{number}.png", "", "output")])
    for picture in [one.id for prompt in trial.contents().prompts for one in prompt.pictures]:
        kind = POOL.prompts[picture - 1].kind
        trial.mark(picture, "good" if kind == "reference" else "bad")
    found = choose(record, marks=trial.contents())
    assert found.selection.tasks == ("bad against good",)
    assert len(found.calibration("x").bad) == 60
    assert main(["choose", "show", str(path), "--trial", str(trial.path)]) == 0
    with pytest.raises(EMoEError, match="No picture of the trial is judged"):
        choose(record, marks=trial.contents(), labels="judge:x")


def test_known_prompts_of_several_lines_stay_one_prompt(tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text('prompt\n"a cat\non a mat"\na dog\n')
    assert one_per_line(str(tmp_path / "known.csv")) == "a cat on a mat\na dog" and one_per_line(None) == ""


def test_sizes_are_short() -> None:
    assert [size_text(one) for one in (900, 22_100_000, 6_900_000_000)] == ["0.9 kB", "22.1 MB", "6.9 GB"]


def test_prompts_that_say_nothing_are_named(record: Record) -> None:
    def said(change: Callable[[Floats, NDArray[np.bool_]], Floats]) -> str:
        known = np.array([one.kind == "reference" for one in record.prompts])
        parts = {key: replace(one, apart=change(one.apart, known)) for key, one in record.products.items()}
        return "\n".join(map(str, choose(replace(record, products=parts)).messages()))

    easy = said(lambda apart, known: np.where(known[:, None, None, None], apart / 100, apart))
    assert "cannot say which set is better" in easy and "may be chance" not in easy
    noise = np.random.default_rng(0).uniform(1, 2, len(record.prompts))[:, None, None, None]
    one = record.products[0, "layout"].apart[:1] / record.products[0, "layout"].square.mean()
    nothing = said(lambda apart, known: one * noise)
    assert "may be chance" in nothing and "cannot say which set is better" not in nothing
