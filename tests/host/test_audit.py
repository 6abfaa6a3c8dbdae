"""The audit on the demo experts, whose training data is known."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from emoe_testing.scoring import WIDGETS
from emoe_testing.scoring import options as score_options

HOW: dict[str, Any] = {"tap": "mid_out", "estimator": "relative"}
LANGUAGES = ("en", "fr", "de", "es", "it", "fi", "pl", "sw", "ja", "ru")
THINGS = 24


def scorer_of(pack: ModuleType, demo: Any, **options: Any) -> Any:
    host = pack.emoe_core.hosts.comfyui
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    return host.auditing.ComfyScorer(demo, latent, score_options(host, **HOW), **options)


@pytest.fixture(scope="module")
def audited(pack: ModuleType, demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One audit: the same concepts in ten languages, and English prompts of known and unknown kinds."""
    folder = tmp_path_factory.mktemp("audit")
    demo_audit = importlib.import_module(f"{pack.__name__}.emoe_core.demo")
    demo_audit.write_audit_prompts(folder / "prompts.csv", THINGS, LANGUAGES)
    audit = pack.emoe_core.audit
    plan = audit.plan.read_plan(folder / "prompts.csv", ["language", "kind"])
    with audit.engine.run(plan, scorer_of(pack, demo), folder / "out") as store:
        return audit.analysis.analyse(store, audit.analysis.Options(alpha=0.1))


def test_languages_come_out_in_the_order_of_their_training_shares(pack: ModuleType, audited: Any) -> None:
    shares = pack.emoe_core.demo.ground_truth()["languages"]
    groups = audited.of_column("language")
    rho = pack.emoe_core.stats.evaluation.spearman(
        [shares[group.value]["share"] for group in groups], [group.score.median for group in groups]
    )
    assert rho <= -0.9
    assert all(group.effect.paired and group.n == THINGS for group in groups)


def test_what_was_held_out_comes_out_on_top(audited: Any) -> None:
    kinds = [group.value for group in audited.of_column("kind")]
    assert set(kinds[:3]) == {"never shown", "unseen faces", "shown seldom"} and kinds[3] == "well known"
    fresh, unseen = audited.group("kind", "well known"), audited.group("kind", "never shown")
    assert fresh.finding == "lower" and fresh.blocked <= 0.25 < unseen.blocked


def test_the_priorities_name_the_languages_that_were_shown_least(audited: Any) -> None:
    languages = [priority.value for priority in audited.priorities if priority.column == "language"]
    assert languages[0] in ("ja", "ru") and {"ja", "ru", "sw"} <= set(languages)
    assert not {"en", "fr", "de"} & set(languages)


def test_random_regroupings_of_what_is_known_alike_raise_no_alarm(pack: ModuleType, demo: Any) -> None:
    """English prompts of one kind, dealt 200 times into two or three groups: at most 5 % have any finding."""
    scorer, groups = scorer_of(pack, demo), pack.emoe_core.demo.prompts()
    scorer.about()
    prompts = list(dict.fromkeys(groups["fresh"] + groups["calibration"]))
    rows, rng, alarms = scorer.score(prompts), np.random.default_rng(0), 0
    kept = importlib.import_module(f"{pack.__name__}.emoe_core.audit.store")
    for number in range(200):
        with kept.Store.open(":memory:") as store:
            entries, members = [], []
            for place, (prompt, row) in enumerate(zip(prompts, rows, strict=True), start=1):
                told = (row.tokens, int(row.truncated), row.unknown, len(prompt.split()), None, None)
                entry = (place, place, "", prompt, "{}", row.score, *[None] * 6, *told)
                entries.append(dict(zip(kept.COLUMNS, entry, strict=True)))
                members.append(("group", f"g{rng.integers(2 + number % 2)}", place))
            store.add(entries, members)
            result = pack.emoe_core.audit.analysis.analyse(store)
        assert all(group.effect is not None for group in result.groups)
        alarms += any(group.finding in ("higher", "lower") for group in result.groups)
    assert alarms <= 10


def test_a_page_of_text_is_scored(pack: ModuleType, demo: Any) -> None:
    """Fifty thousand letters go through the encoder window by window, beside a short prompt."""
    scorer = scorer_of(pack, demo)
    scorer.about()
    long, short = scorer.score(["a red horse " * 4167, "horse"])
    assert long.error is None and long.score > 0 and long.truncated and long.tokens > 10_000
    assert short.score == pytest.approx(scorer.score(["horse"])[0].score, rel=1e-4)


def test_text_facts_are_the_encoders_own(pack: ModuleType, demo: Any) -> None:
    scorer = scorer_of(pack, demo)
    scorer.about()
    long = "a horse and a cat " * 20
    known, cut, none = scorer.score(["horse", long, "🙂"])
    assert known.tokens == 1 and known.truncated is False and known.unknown == 0.0
    assert cut.tokens > 30 and cut.truncated is True and none.unknown is None and none.tokens >= 1


def test_a_batch_scores_as_one_by_one(pack: ModuleType, demo: Any, audited: Any) -> None:
    """Also a prompt of two windows between others, and one CLIP for all experts."""
    prompts = ["horse", "Tokyo tower", "x" * 400, "(a red:1.4) horse", "traktori", "山から日の出"]
    for options in ({}, {"clip": demo.experts[0].clip}):
        together = scorer_of(pack, demo, **options)
        alone = scorer_of(pack, demo, batch_size=1, **options)
        assert together.about() == alone.about()
        for a, b in zip(together.score(prompts), alone.score(prompts), strict=True):
            assert a.score == pytest.approx(b.score, rel=1e-4) and a.tokens == b.tokens
            # "horse" is in the calibration itself: rounding may put it on either side of its own reference score.
            assert a.p_value == pytest.approx(b.p_value, abs=1.001 / 111)


def test_a_set_of_one_is_refused_before_the_first_prompt(pack: ModuleType, demo: Any) -> None:
    one = pack.emoe_core.experts.sets.ExpertSet().add(demo.experts[0])
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="compares experts and the set has 1"):
        scorer_of(pack, one).about()


def test_a_calibration_of_other_settings_is_refused(pack: ModuleType, demo: Any) -> None:
    wrong = next(c for c in demo.calibrations if "thorough" in c.name)
    with pytest.raises(pack.emoe_core.errors.SettingsMismatch, match="tap is"):
        scorer_of(pack, demo, calibration=wrong).about()


def run_node(node_classes: dict[str, type], demo: Any, **changes: Any) -> Any:
    inputs = {
        **WIDGETS,
        "experts": demo,
        "latent_image": {"samples": torch.zeros(1, 4, 16, 16)},
        "file": "none",
        "prompts": "",
        "name": "mine/../x",
        "groups": "",
        "id_column": "",
        "reference": "",
        "weight_column": "",
        "alpha": 0.1,
        "noise_samples": 1,
    }
    return node_classes["EMoE_Audit"].execute(**{**inputs, **changes})  # type: ignore[attr-defined]


TABLE = "prompt,language\n" + "".join(
    f"{word},{lang}\n" for lang in ("en", "fi") for word in ("horse", "rainbow", "cat", "dog", "bee")
)


def test_the_node_audits_a_box_and_a_file_and_goes_on_where_it_ended(
    node_classes: dict[str, type], demo: Any, comfy_base: Path
) -> None:
    result, summary, folder = run_node(node_classes, demo, prompts=TABLE).args
    assert result.prompts == 10 and [g.n for g in result.of_column("language")] == [5, 5]
    assert "10 prompts" in summary and Path(folder).parent == comfy_base / "output" / "emoe_audits"
    (comfy_base / "input" / "p.csv").write_text(TABLE, encoding="utf-8")
    same = run_node(node_classes, demo, file="p.csv").args
    assert same[2] == folder and [g.score for g in same[0].groups] == [g.score for g in result.groups]
    other = run_node(node_classes, demo, prompts=TABLE, noise_seed=1).args
    assert other[2] != folder


def test_the_node_tries_again_what_failed_in_an_earlier_run(
    pack: ModuleType, node_classes: dict[str, type], demo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditing, wrong = pack.emoe_core.hosts.comfyui.auditing, pack.emoe_core.errors.EMoEError
    real, away = auditing.score_prompts, True

    def score(*args: Any, **how: Any) -> Any:
        if away and how.get("brief"):  # the audit's own prompts, not the one that it begins with
            raise wrong("The device is away.")
        return real(*args, **how)

    monkeypatch.setattr(auditing, "score_prompts", score)
    table = "prompt,language\n" + "".join(f"word {i},{'en' if i % 2 else 'fi'}\n" for i in range(24))
    with pytest.raises(wrong, match=r"None of the first 24 prompts .* Mend that and queue the graph again\.$"):
        run_node(node_classes, demo, prompts=table)
    away = False
    result = run_node(node_classes, demo, prompts=table).args[0]
    assert (result.prompts, result.failed) == (24, 0)


def test_the_node_audits_a_part_of_a_built_in_set(node_classes: dict[str, type], demo: Any) -> None:
    node = node_classes["EMoE_Audit"]
    options = node.INPUT_TYPES()["required"]["file"]  # type: ignore[attr-defined]
    assert list(options[1]["options"] if len(options) > 1 and "options" in options[1] else options[0])[:3] == [
        *("none", "built-in set: concepts", "built-in set: regions")
    ]
    chosen = {"file": "built-in set: concepts", "languages": "en, Japanese", "part": "animals, 6"}
    result, _, folder = run_node(node_classes, demo, **chosen).args
    assert result.prompts == 12 and {group.value for group in result.of_column("language")} == {"en", "ja"}
    assert run_node(node_classes, demo, **chosen).args[2] == folder
    assert "no language 'xx'" in node.validate_inputs("built-in set: concepts", "xx")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Uncertainty Audit has no prompts"),
        ({"file": "../../secret.txt"}, "is not in ComfyUI's input folder"),
        ({"file": "built-in set: concepts", "part": "food, warfare"}, "no topic 'warfare'; choose among people"),
        ({"file": "built-in set: regions", "part": "Narnia"}, "no territory 'Narnia'"),
        ({"prompts": TABLE, "languages": "fi"}, "languages and part choose of a built-in prompt set"),
        ({"prompts": TABLE, "groups": "region"}, "no column 'region'"),
        ({"prompts": TABLE, "reference": "language=sv"}, "is no group of"),
        ({"prompts": TABLE, "weight_column": "w"}, "weight column 'w' is not in"),
        ({"prompts": TABLE, "latent_image": {"samples": torch.zeros(2, 4, 16, 16)}}, "is a batch"),
    ],
)
def test_bad_input_is_one_sentence(
    pack: ModuleType, node_classes: dict[str, type], demo: Any, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(pack.emoe_core.errors.EMoEError, match=said):
        run_node(node_classes, demo, **changes)


def report_of(node_classes: dict[str, type], audit: Any, **changes: Any) -> Any:
    inputs = {"audit": audit, "language": "en", "theme": "light", "filename_prefix": "emoe/audit_report"}
    return node_classes["EMoE_AuditReport"].execute(**{**inputs, **changes})  # type: ignore[attr-defined]


def test_the_report_node_writes_the_file_and_shows_its_charts(
    node_classes: dict[str, type], audited: Any, comfy_base: Path
) -> None:
    found = report_of(node_classes, audited, language="ja")
    priorities, distributions, summary = found.args
    (file,) = found.ui["files"]
    assert file["type"] == "output" and file["filename"].endswith(".html")
    page = (comfy_base / "output" / file["subfolder"] / file["filename"]).read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and '<html lang="ja">' in page and "フィンランド語" in page
    assert all(group.score is None or f"{group.score.median:.3f}" in page for group in audited.groups)
    for image in (priorities, distributions):
        assert image.dtype == torch.float32 and image.shape[0] == 1 and image.shape[2:] == (960, 3)
        assert 0.7 < image.mean() < 1 and image.max() <= 1
    assert (
        summary == "\n".join(audited.lines())
        and summary in found.ui["text"][1]
        and file["filename"] in found.ui["text"][0]
    )
    assert [entry["type"] for entry in found.ui["images"]] == ["temp", "temp"]
    dark = report_of(node_classes, audited, theme="dark")
    assert dark.args[1].mean() < 0.3 and dark.ui["files"][0]["filename"] != file["filename"]


def test_the_report_node_refuses_what_it_does_not_have(
    pack: ModuleType, node_classes: dict[str, type], audited: Any
) -> None:
    for changes, said in (({"language": "fr"}, "no language 'fr'"), ({"theme": "pink"}, "no chart theme 'pink'")):
        with pytest.raises(pack.emoe_core.errors.EMoEError, match=said):
            report_of(node_classes, audited, **changes)
