"""The decision report: curves against closed forms and scikit-learn, and numbers, picture and command."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import auc, roc_auc_score

from emoe_core import demo
from emoe_core.__main__ import main
from emoe_core.charts.theme import THEMES
from emoe_core.errors import EMoEError
from emoe_core.gating.curves import at_random, by_oracle, by_score
from emoe_core.gating.decision_report import Choice, decisions
from emoe_core.gating.policies import POLICIES, false_block_rate
from emoe_core.records.calibration import Calibration
from emoe_core.records.settings import Settings
from emoe_core.scoring.presets import DEFAULT
from emoe_core.show.decisions import picture

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings(
    ("a" * 64, "b" * 64), ("shared",), "mid_out", "relative", 14.6146, 0, 2, (4, 16, 16), "empty", "float32"
)


def labelled(count: int = 120, seed: int = 0, levels: int = 0) -> Calibration:
    rng = np.random.default_rng(seed)
    scores = rng.random(count)
    bad = rng.random(count) < 0.7 * scores**2
    scores = np.round(scores * levels) if levels else scores
    groups = {"language": tuple("en" if i % 3 else "ja" for i in range(count))}
    return Calibration(f"seed {seed}", SETTINGS, tuple(scores.tolist()), bad=tuple(bad.tolist()), groups=groups)


def arrays(calibration: Calibration) -> tuple[Any, Any]:
    return np.array(calibration.scores), np.array(calibration.bad)


def test_curves_by_hand() -> None:
    """Good, bad, good, bad in passing order."""
    curve = by_score(np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, False, False, True]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(curve.risk, [0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.joint.tolist() == [0, 0.25, 0.25, 0.5] and curve.kept.tolist() == [0.5, 0.5, 1, 1]
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4) and curve.auarc == pytest.approx(1 - curve.aurc)
    assert curve.augrc == pytest.approx((0 / 2 + 0.25 / 2 + 0.25 + 0.75 / 2) / 4)


@pytest.mark.parametrize("levels", [0, 7])
@pytest.mark.parametrize("seed", range(4))
def test_areas_against_closed_forms_and_scikit_learn(seed: int, levels: int) -> None:
    """AUGRC is a function of AUROC and accuracy (Traub et al., equation 6), with ties too; areas are trapezoids and means."""
    scores, bad = arrays(labelled(150, seed, levels))
    curve, accuracy = by_score(scores, bad), 1 - bad.mean()
    a = roc_auc_score(bad, scores)
    assert curve.augrc == pytest.approx((1 - a) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2)
    assert curve.augrc == pytest.approx(auc(np.r_[0, curve.coverage], np.r_[0, curve.joint]))
    random, oracle = at_random(bad), by_oracle(bad)
    assert random.aurc == pytest.approx(1 - accuracy) and random.auarc == pytest.approx(accuracy)
    assert random.augrc == pytest.approx((1 - accuracy) / 2) and oracle.augrc == pytest.approx((1 - accuracy) ** 2 / 2)
    n, good = len(bad), int((~bad).sum())
    assert oracle.aurc == pytest.approx(sum((k - good) / k for k in range(good + 1, n + 1)) / n)
    assert oracle.aurc <= curve.aurc and oracle.augrc <= curve.augrc


def test_ties_are_the_average_over_all_orders() -> None:
    scores, bad = np.array([1.0, 1.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False, True])
    orders = [(*a, *b) for a in itertools.permutations(range(3)) for b in itertools.permutations(range(3, 5))]
    curves = [by_score(np.arange(5.0), bad[list(order)]) for order in orders]
    mean = by_score(scores, bad)
    for name in ("risk", "joint", "kept"):
        np.testing.assert_allclose(getattr(mean, name), np.mean([getattr(c, name) for c in curves], axis=0))
    assert mean.aurc == pytest.approx(np.mean([c.aurc for c in curves]))
    with pytest.raises(EMoEError, match="needs prompts"):
        by_score(np.array([]), np.array([], dtype=bool))


def test_intervals_cover_the_truth() -> None:
    """The AUGRC of the whole population lies in the 95 % interval of 38 of 46 samples or more."""
    scores, bad = arrays(labelled(20_000, 99))
    truth = by_score(scores, bad).augrc
    rng, hits = np.random.default_rng(5), 0
    for _ in range(46):
        chosen = rng.integers(0, len(bad), 150)
        sample = Calibration("s", SETTINGS, tuple(scores[chosen].tolist()), bad=tuple(bad[chosen].tolist()))
        low, high = decisions(sample, Choice(), rounds=120).areas["augrc"]["interval"]
        hits += low <= truth <= high
    assert hits >= 38


@pytest.mark.parametrize("policy", POLICIES)
def test_numbers_at_the_threshold_are_counts(policy: str) -> None:
    calibration = labelled(200)
    report = decisions(calibration, Choice(policy, 0.2, 0.1, 0.5, seconds_generation=8, seconds_score=0.25), rounds=50)
    scores, bad = arrays(calibration)
    there, passed = report.at_threshold(), scores <= report.threshold  # type: ignore[operator]
    assert there is not None and 0 < passed.sum() < 200
    assert there["blocked"] == pytest.approx((~passed).mean())
    assert there["good_blocked"] == pytest.approx(1 - there["quality_kept"]) == pytest.approx((~passed)[~bad].mean())
    assert there["bad_blocked"] == pytest.approx((~passed)[bad].mean())
    assert there["bad_and_passed"] == pytest.approx((bad & passed).mean())
    assert there["bad_among_passed"] == pytest.approx(bad[passed].mean())
    assert there["seconds_saved_per_100"] == pytest.approx(((~passed).sum() * 8 - 200 * 0.25) / 2)
    numbers = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert numbers["threshold"] == report.threshold and numbers["aurc"]["value"] == report.curve.aurc
    assert numbers["delta"] == (0.1 if policy == "bad_among_passed" else None)
    low, high = numbers["auarc"]["better_than_random"]
    assert 0 < low < numbers["auarc"]["value"] - numbers["auarc"]["random"] < high
    assert any(policy in line for line in report.lines())


def test_money_at_both_ends() -> None:
    """Passing all costs the scores; in random order every blocked share loses the same share of the good ones."""
    report = decisions(labelled(50), Choice(seconds_generation=10, seconds_score=0.5), rounds=20)
    saved = report.seconds_saved(1 - report.curve.coverage)
    assert saved[-1] == pytest.approx(-50) and saved[0] == pytest.approx(100 * (0.98 * 10 - 0.5))
    np.testing.assert_allclose(report.random.kept, report.random.coverage)


def test_without_a_threshold_the_curves_are_still_there() -> None:
    report = decisions(labelled(60), Choice("bad_among_passed", 0.01), rounds=20)
    assert report.threshold is None and report.at_threshold() is None and "too few" in report.lines()[-1]
    assert report.as_dict()["why_no_threshold"].startswith("The calibration") and picture(report).size == (1440, 880)


def test_a_group_alone() -> None:
    report = decisions(labelled(120), Choice(group="ja", alpha=0.1), rounds=20)
    assert len(report.scores) == 40 and report.title == "seed 0, language=ja"


@pytest.mark.parametrize("theme", THEMES)
def test_the_picture_marks_the_threshold(theme: str) -> None:
    """The same report with another threshold differs in every chart; the same one is the same picture."""
    first, again, other = (
        np.asarray(picture(decisions(labelled(), Choice("raw_threshold", threshold=t), rounds=20), theme))
        for t in (0.4, 0.4, 0.7)
    )
    assert (first == again).all()
    for rows in (slice(0, 440), slice(440, 880)):
        for columns in (slice(0, 720), slice(720, 1440)):
            assert (first[rows, columns] != other[rows, columns]).any()


@pytest.mark.parametrize(
    ("calibration", "choice", "said"),
    [
        (Calibration("c", SETTINGS, (1.0, 2.0)), Choice(), "'c' has no prompt marked as bad"),
        (Calibration("c", SETTINGS, (1.0, 2.0), bad=(False, False)), Choice(), "'c' has no prompt marked as bad"),
        (labelled(), Choice(policy="guess"), "no gate policy 'guess'"),
        (labelled(), Choice(group="fr"), "group 'fr' is not in the calibration"),
        (labelled(), Choice(alpha=math.nan), "alpha is nan"),
        (labelled(), Choice("bad_among_passed", delta=math.inf), "delta is inf"),
        (labelled(), Choice(seconds_score=-1), "seconds_score is -1"),
        (labelled(), Choice(seconds_generation=math.nan), "seconds_generation is nan"),
        (labelled(), Choice("raw_threshold", threshold=math.inf), "threshold is inf"),
    ],
)
def test_bad_input_is_named(calibration: Calibration, choice: Choice, said: str) -> None:
    with pytest.raises(EMoEError, match=said):
        decisions(calibration, choice, rounds=5)


def test_the_command_gives_numbers_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled().save(tmp_path / "c.json")
    made = tmp_path / "report.png"
    arguments = [
        "decisions",
        str(tmp_path / "c.json"),
        "--policy",
        "bad_pass_rate",
        "--alpha",
        "0.1",
        "--png",
        str(made),
    ]
    assert main([*arguments, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["policy"] == "bad_pass_rate" and numbers["at_threshold"]["bad_and_passed"] <= 0.1
    with Image.open(made) as image:
        assert image.size == (1440, 880) and image.format == "PNG"
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("seed 0: 120 prompts, ")


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Calibration("plain", SETTINGS, (1.0, 2.0)).save(tmp_path / "plain.json")
    labelled().save(tmp_path / "c.json")
    for arguments, said in (
        ([str(tmp_path / "missing.json")], "cannot be read"),
        ([str(tmp_path / "plain.json")], "no prompt marked as bad"),
        ([str(tmp_path / "c.json"), "--png", str(tmp_path / "no" / "where.png")], "cannot be written"),
    ):
        assert main(["decisions", *arguments, "--json"]) == 2
        streams = capsys.readouterr()
        assert said in streams.err and said in json.loads(streams.out)["error"]


def test_the_command_starts_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emoe_core", "decisions", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0 and "--seconds-generation" in done.stdout


# --- the labelled calibration that ships ------------------------------------------------------------------------------

SHIPPED = ROOT / "emoe_core" / "demo" / "labelled.json"


def test_the_shipped_marks_are_what_the_ground_truth_says() -> None:
    """Five languages; bad is what was seen less than three times; settings and scores are those of the demo's own file."""
    calibration = Calibration.load(SHIPPED)
    seen: dict[str, int] = {}
    for concept in demo.ground_truth()["concepts"]:
        for text, times in concept["exposure"].items():
            seen[text] = seen.get(text, 0) + times
    assert calibration.bad == tuple(seen.get(prompt, 0) < 3 for prompt in calibration.prompts)
    prompts = demo.prompts()
    for prompt, language in zip(calibration.prompts, calibration.groups["language"], strict=True):
        assert prompt in (prompts["calibration"] + prompts["fresh"] if language == "en" else prompts[language])
    own = Calibration.load(next(path for path in demo.calibration_files() if path.stem == DEFAULT))
    assert own.settings == calibration.settings
    scores = dict(zip(calibration.prompts, calibration.scores, strict=True))
    assert [scores[prompt] for prompt in own.prompts] == pytest.approx(list(own.scores), rel=1e-4)


def test_a_language_known_less_has_a_higher_threshold_of_its_own() -> None:
    """The better a language was sampled in training, the lower its threshold: English, French, German, Spanish, Italian."""
    calibration = Calibration.load(SHIPPED)
    limits = [false_block_rate(calibration.part("language", name), 0.1) for name in ("en", "fr", "de", "es", "it")]
    assert limits == sorted(limits) and limits[0] < false_block_rate(calibration, 0.1) < limits[-1]
