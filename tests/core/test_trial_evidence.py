"""What a trial shows, against counts by hand: AUROC, the rule, quarters, thresholds, groups, surprises, labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from emoe_testing.trials import FACTS, FAST, LAYOUT, READINGS, RESPONSE, contents, picture, prompt

from emoe_core.errors import EMoEError
from emoe_core.gating.policies import false_block_rate
from emoe_core.records.calibration import Calibration
from emoe_core.stats.agreement import kappa
from emoe_core.stats.compare import wilson
from emoe_core.stats.evaluation import auroc
from emoe_core.trial.evidence import Evidence, evidence, lacking
from emoe_core.trial.foresight import EDGE, LENGTH, PROVED, REFUTED, UNDECIDED, main_reading
from emoe_core.trial.labels import MARKS, sources
from emoe_core.trial.store import BAD, GOOD, Contents, Judgement, Prompt
from emoe_core.trial.thresholds import calibration


@pytest.fixture(scope="module")
def trial() -> Contents:
    return contents(judge=0.9)


@pytest.fixture(scope="module")
def shown(trial: Contents) -> Evidence:
    return evidence(trial, MARKS, "mine")


def test_every_reading_has_its_auroc(trial: Contents, shown: Evidence) -> None:
    bad = np.array([one.pictures[0].quality == BAD for one in trial.prompts])
    found = {one.name: one for one in shown.found}
    assert set(found) == {"layout", "fast", "one_model", "response", LENGTH}
    for name in ("layout", "fast", "one_model", "response"):
        scores = np.array([one.scores[name] for one in trial.prompts])
        assert found[name].value == pytest.approx(auroc(scores[~bad], scores[bad]))
        assert found[name].low < found[name].value < found[name].high
        assert (found[name].pictures, found[name].bad) == (120, int(bad.sum()))
        if name != "layout":
            gap = found[name].against
            assert gap is not None and gap.value == pytest.approx(found[name].value - found["layout"].value)
    assert found[LENGTH].value == 0.5  # all texts are of one length
    assert {one.kind for one in shown.found if one.name in ("one_model", "response")} == {"one model"}


def test_the_rule(shown: Evidence) -> None:
    assert shown.main is not None and shown.main.name == "layout"
    assert (shown.rule, shown.main.low > EDGE) == (PROVED, True)
    knows_nothing = evidence(contents(40, {"layout": 0.0}))
    assert knows_nothing.main is not None and knows_nothing.rule == UNDECIDED
    assert (knows_nothing.why, knows_nothing.needed is None) in (("open", False), ("open_far", True))
    turned = evidence(contents(300, {"layout": -0.5}))
    assert (turned.rule, turned.why) == (REFUTED, "refuted") and turned.main is not None and turned.main.high < EDGE


def test_what_is_clearly_behind_one_model_is_not_proved() -> None:
    shown = evidence(contents(300, {"layout": 1.0, "one_model": 3.0}))
    assert shown.main is not None and shown.main.low > EDGE
    assert (shown.rule, shown.why) == (UNDECIDED, "behind")
    assert shown.best is not None and shown.best.name == "one_model" and shown.gap is not None and shown.gap.high < 0
    assert shown.advice is not None
    assert (shown.advice.preset, shown.advice.mode, shown.advice.why) == ("one_model", "decide", "advice_one_model")


def test_better_than_one_model_is_said_when_it_is_clear() -> None:
    shown = evidence(contents(300, {"layout": 2.5, "one_model": 0.3}))
    assert (shown.rule, shown.why) == (PROVED, "proved_better")
    none = contents(300, {"layout": 2.5})
    alone = replace(none, readings=(LAYOUT,))
    assert evidence(alone).why == "proved_alone" and evidence(alone).best is None


def test_few_pictures_say_nothing_whatever_they_are() -> None:
    shown = evidence(contents(16, {"layout": 9.0}))
    assert (shown.rule, shown.why) == (UNDECIDED, "few") and lacking(shown) > 0
    good = evidence(contents(16, share=0.0))
    assert (good.rule, good.why, good.needed, good.report) == (UNDECIDED, "few", None, None)
    assert good.bad == 0 and good.offers == () and good.certain_bad == () and len(good.uncertain_good) == 8
    bad = evidence(contents(16, share=1.0))
    assert (bad.rule, bad.report, bad.uncertain_good) == (UNDECIDED, None, ())


def test_another_preset_is_advised_only_when_it_is_clearly_better(shown: Evidence) -> None:
    assert shown.advice is not None and (shown.advice.preset, shown.advice.why) == ("layout", "advice_main")
    other = evidence(contents(400, {"layout": 0.8, "fast": 3.0}))
    assert other.advice is not None and (other.advice.preset, other.advice.why) == ("fast", "advice_other")
    nothing = evidence(contents(60, {"layout": 0.0, "fast": 0.0, "one_model": 0.0}))
    assert nothing.advice is not None
    assert (nothing.advice.mode, nothing.advice.threshold) == ("observe", None)


def test_the_main_reading_is_the_workflows_own() -> None:
    made = contents(4)
    graph = {"5": {"class_type": "EMoE_Score", "inputs": {"preset": "fast"}}}
    assert main_reading(replace(made, facts={"workflow": graph})) == "fast"
    assert main_reading(replace(made, facts={})) == "layout"
    assert main_reading(replace(made, facts={}, readings=(FAST, RESPONSE))) == "fast"
    assert main_reading(replace(made, facts={}, readings=(RESPONSE,))) == ""
    for odd in (
        "text",
        [1],
        {"5": 3},
        {"5": {"class_type": "EMoE_Score"}},
        {"5": {"class_type": "EMoE_Score", "inputs": 1}},
    ):
        assert main_reading(replace(made, facts={"workflow": odd})) == "layout"
    shown = evidence(replace(made, facts={}, readings=(RESPONSE,)))
    assert (shown.main, shown.why, shown.quarters, shown.advice) == (None, "no_reading", (), None)


def test_quarters_count_prompts(trial: Contents, shown: Evidence) -> None:
    ordered = sorted(trial.prompts, key=lambda one: one.scores["layout"])
    for number, quarter in enumerate(shown.quarters):
        own = ordered[30 * number : 30 * number + 30]
        share = sum(one.pictures[0].quality == BAD for one in own) / 30
        assert (quarter.prompts, quarter.pictures, quarter.share) == (30, 30, pytest.approx(share))
        assert (quarter.low, quarter.high) == wilson(share, 30)
        assert (quarter.low_score, quarter.high_score) == (own[0].scores["layout"], own[-1].scores["layout"])
    assert shown.quarters[0].share < shown.quarters[-1].share


def test_equal_scores_stay_in_one_quarter() -> None:
    rows = tuple(prompt(n, {"layout": float(n > 3)}, [GOOD]) for n in range(1, 13))
    shown = evidence(Contents({}, (LAYOUT,), rows))
    assert [(one.prompts, one.low_score, one.high_score) for one in shown.quarters] == [(3, 0, 0), (9, 1, 1)]


def test_a_prompt_is_bad_if_half_of_its_pictures_are() -> None:
    rows = (
        prompt(1, {"layout": 0.1}, [GOOD, GOOD, BAD]),
        prompt(2, {"layout": 0.2}, [GOOD, BAD]),
        prompt(3, {"layout": 0.3}, [BAD, None, None]),
        prompt(4, {"layout": 0.4}, [None, None]),
    )
    made = calibration(Contents({}, (LAYOUT,), rows), MARKS, LAYOUT, "mine layout")
    assert (made.scores, made.bad) == ((0.1, 0.2, 0.3), (False, True, True))
    assert made.settings == LAYOUT.settings and "marked by a person" in made.reference and "half" in made.reference
    shown = evidence(Contents({}, (LAYOUT,), rows))
    assert (shown.pictures, shown.bad, shown.drawn, len(shown.labelled)) == (6, 3, 10, 3)
    assert shown.quarters == ()


def test_what_a_threshold_does(trial: Contents, shown: Evidence) -> None:
    made = calibration(trial, MARKS, LAYOUT, "x")
    scores, bad = np.array(made.scores), np.array(made.bad)
    offer = next(one for one in shown.offers if (one.policy, one.alpha) == ("false_block_rate", 0.1))
    assert offer.threshold == false_block_rate(made.whole, 0.1) and offer.does is not None
    blocked = scores > offer.threshold
    assert offer.does["good_blocked"] == pytest.approx(blocked[~bad].mean()) and offer.does["good_blocked"] <= 0.1
    assert offer.does["bad_blocked"] == pytest.approx(blocked[bad].mean())
    assert offer.does["bad_among_passed"] == pytest.approx(bad[~blocked].mean())
    assert shown.seconds == 2.0 and shown.each == 1.0
    assert shown.saved(0.25) == pytest.approx(100 * 0.25 * 2.0)
    unknown = tuple(
        replace(one, pictures=tuple(replace(p, seconds=None) for p in one.pictures)) for one in trial.prompts
    )
    assert evidence(replace(trial, prompts=unknown)).saved(0.25) is None
    assert shown.with_score


def test_a_second_picture_tells_what_a_picture_takes_without_the_score() -> None:
    def timed(number: int) -> Prompt:
        made = prompt(number, {"layout": float(number)}, [GOOD, BAD])
        first, second = made.pictures
        return replace(made, pictures=(replace(first, seconds=9.0), replace(second, seconds=4.0)))

    shown = evidence(Contents({}, (LAYOUT,), tuple(timed(number) for number in range(1, 5))))
    assert (shown.seconds, shown.with_score, shown.each) == (4.0, False, 2.0)
    assert shown.saved(0.5) == 100 * 0.5 * 4.0 * 2


def test_surprises_are_the_most_certain_bad_and_least_certain_good(trial: Contents, shown: Evidence) -> None:
    bad = sorted((p for p in trial.prompts if p.pictures[0].quality == BAD), key=lambda p: p.scores["layout"])
    good = sorted((p for p in trial.prompts if p.pictures[0].quality == GOOD), key=lambda p: -p.scores["layout"])
    middle = np.median([one.scores["layout"] for one in trial.prompts])
    certain = [one.id for one in bad if one.scores["layout"] < middle]
    uncertain = [one.id for one in good if one.scores["layout"] > middle]
    assert len(certain) > 0 and [one.picture.prompt for one in shown.certain_bad] == certain[:8]
    assert len(uncertain) > 8 and [one.picture.prompt for one in shown.uncertain_good] == uncertain[:8]
    first = shown.certain_bad[0]
    assert first.above == pytest.approx(np.mean([p.scores["layout"] > first.score for p in trial.prompts]))
    assert first.below == pytest.approx(np.mean([p.scores["layout"] < first.score for p in trial.prompts]))


def test_groups_are_columns_whose_labels_repeat(trial: Contents, shown: Evidence) -> None:
    assert [(one.column, one.value, one.prompts) for one in shown.groups] == [
        ("language", "de", 80),
        ("language", "fi", 40),
    ]
    own = [one for one in trial.prompts if one.columns["language"] == "de"]
    assert shown.groups[0].share == pytest.approx(np.mean([one.pictures[0].quality == BAD for one in own]))
    bad = np.array([one.pictures[0].quality == BAD for one in own])
    scores = np.array([one.scores["layout"] for one in own])
    assert shown.groups[0].auroc == pytest.approx(auroc(scores[~bad], scores[bad]))
    made = calibration(trial, MARKS, LAYOUT, "x")
    assert set(made.groups) == {"language"} and made.groups["language"][0] == "de"


def test_prompts_that_were_only_scored_are_no_part(trial: Contents, shown: Evidence) -> None:
    looked = prompt(999, {"layout": 99.0, "fast": 99.0}, [], columns={"stage": "look", "kind": "nonsense"})
    scored = prompt(998, {"layout": 98.0}, [])
    assert evidence(replace(trial, prompts=(*trial.prompts, looked, scored)), MARKS, "mine").found == shown.found
    # A prompt file of one's own may have a column of that name.
    own = prompt(997, {"layout": 97.0, "fast": 97.0}, [BAD], columns={"stage": "look"})
    assert evidence(replace(trial, prompts=(*trial.prompts, own)), MARKS, "mine").bad == shown.bad + 1


def test_marks_and_judges_are_not_mixed(trial: Contents) -> None:
    assert sources(trial) == [MARKS, "judge:clip"]
    judged = evidence(trial, "judge:clip")
    assert judged.pictures == 120
    bad = {one.picture for one in trial.judgements if one.bad}
    assert judged.bad == len(bad) != evidence(trial).bad
    marks = [one.pictures[0].quality == BAD for one in trial.prompts]
    verdicts = [one.pictures[0].id in bad for one in trial.prompts]
    assert judged.agreement == {"clip": kappa(marks, verdicts)} and judged.agreement["clip"].value > 0.5
    assert "judged by 'clip'" in calibration(trial, "judge:clip", FAST, "x").reference


def test_a_value_without_a_verdict_is_no_label(trial: Contents) -> None:
    plain = replace(trial, judgements=tuple(replace(one, bad=None) for one in trial.judgements))
    assert sources(plain) == [MARKS] and evidence(plain).agreement == {}
    with pytest.raises(EMoEError, match="judged good or bad by 'clip'; choose --labels marks"):
        evidence(plain, "judge:clip")


def test_a_preference_model_is_no_label_for_one_model(trial: Contents) -> None:
    named = tuple(Judgement(one.picture, "preference-x", one.value, one.bad) for one in trial.judgements)
    shown = evidence(replace(trial, judgements=named), "judge:preference-x")
    assert shown.excluded == ("one_model",) and "one_model" not in {one.name for one in shown.found}
    assert shown.best is not None and shown.best.name == "response"
    own = {"workflow": {"5": {"class_type": "EMoE_Score", "inputs": {"preset": "one_model"}}}}
    assert main_reading(replace(trial, facts=own)) == "one_model"
    again = evidence(replace(trial, facts=own, judgements=named), "judge:preference-x")
    assert again.main is not None and again.main.name == "layout"


def test_what_cannot_be_shown_is_one_sentence(trial: Contents) -> None:
    with pytest.raises(EMoEError, match="no pictures; draw some"):
        evidence(Contents(FACTS, READINGS, ()))
    bare = Contents(FACTS, READINGS, (prompt(1, {"layout": 1.0}, [None]),))
    with pytest.raises(EMoEError, match="is marked; mark some in the Review tab"):
        evidence(bare)
    with pytest.raises(EMoEError, match="Labels are 'marks' or 'judge:NAME', not 'eye'"):
        evidence(trial, "eye")


def test_a_reading_that_some_prompts_lack_is_compared_where_both_are(trial: Contents) -> None:
    half = tuple(
        replace(one, scores={name: s for name, s in one.scores.items() if name != "fast" or one.id % 2})
        for one in trial.prompts
    )
    found = {one.name: one for one in evidence(replace(trial, prompts=half)).found}
    both = [one for one in half if "fast" in one.scores]
    bad = np.array([one.pictures[0].quality == BAD for one in both])
    fast, layout = (np.array([one.scores[name] for one in both]) for name in ("fast", "layout"))
    gap = found["fast"].against
    assert found["fast"].pictures == 60 and gap is not None
    assert gap.value == pytest.approx(auroc(fast[~bad], fast[bad]) - auroc(layout[~bad], layout[bad]))


def test_all_bad_prompts_leave_no_calibration() -> None:
    rows = Contents({}, (LAYOUT,), (prompt(1, {"layout": 0.1}, [BAD]),))
    with pytest.raises(EMoEError, match="only bad prompts"):
        calibration(rows, MARKS, LAYOUT, "x")


def test_a_calibration_survives_its_file(trial: Contents, tmp_path: object) -> None:
    made = calibration(trial, MARKS, LAYOUT, "x")
    assert Calibration.from_dict(made.as_dict()) == made and picture(1, 1, None).quality is None
