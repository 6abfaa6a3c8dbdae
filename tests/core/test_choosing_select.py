"""Selection finds what was planted: the best sets, experts that pay, and copies and merges that do not."""

import itertools

import numpy as np
import pytest
from emoe_testing.choices import Pool, asked, pool

from emoe_core.choosing.kin import Redundant, by_answers, by_weights, left_out
from emoe_core.choosing.record import Asked
from emoe_core.choosing.select import Selection, select
from emoe_core.choosing.tasks import DRAWS, Interval, missed, of_rows, prompts_for, split, twins
from emoe_core.errors import EMoEError
from emoe_core.experts.kin import Copy, Kin, Merge
from emoe_core.prompts import PromptRow
from emoe_core.stats.evaluation import Floats, auroc


def chosen(of: Pool, most: int = 4, leave_out: bool = True) -> Selection:
    found = by_answers(of.products) if leave_out else ()
    return select(of.scores, split(of.prompts), of.products.experts, most, found)


@pytest.mark.parametrize("plant", ["copy", "merge"])
def test_planted_copies_and_merges_are_not_kept(plant: str) -> None:
    """In 40 pools of eight: at most 2 keep one, and no other expert is taken for one."""
    kept = false = found = 0
    for seed in range(40):
        of = pool(seed, plant, pairs=40)
        who = {of.planted, *of.of}
        named = [one.expert for one in by_answers(of.products)]
        found += of.planted in named or (plant == "copy" and of.of[0] in named)
        false += any(one not in who for one in named)
        four = set(chosen(of).steps[-1].experts)
        kept += of.planted in four and (plant == "merge" or of.of[0] in four)
    assert kept <= 2 and false == 0 and found >= 38


def test_a_merge_says_what_it_is_made_of() -> None:
    of = pool(3, "merge", pairs=20)
    (one,) = by_answers(of.products)
    assert one.expert == of.planted and set(one.of) == set(of.of) and 0.3 < one.weight < 0.7
    assert by_answers(of.products.of(range(2))) == ()


def test_weights_say_it_first() -> None:
    """Copies and decided merges; experts that differ in patches only are none, nor is a sum whose parts are not known."""
    copies = (Copy(0, 5, "near"), Copy(1, 2, "patches"))
    merges = (Merge(4, (1, 3), (0.25, 0.75), 0.99), Merge(6, (7, 8), (0.5, 0.5), 0.99, decided=False))
    kin = Kin(tuple("abcdefghi"), copies, merges, (), (), (), (), (), None)
    found = {one.expert: one for one in by_weights(kin)}
    assert set(found) == {4, 5} and found[5].of == (0,)
    assert found[4].of == (1, 3) and found[4].weight == 0.25


def test_answers_are_asked_about_what_the_weights_left() -> None:
    """The original of a copy that the weights did not show, though a merge that they did show is made of it."""
    of = pool(0, "copy", pairs=20)
    (original,) = of.of
    merge = next(one for one in range(of.products.experts) if one not in (original, of.planted))
    shown = (Redundant(merge, (original, of.planted), 0.5, 0.0),)
    found = left_out(shown, of.products)
    assert [one.expert for one in found] == sorted([merge, max(original, of.planted)])
    assert all(one in found for one in shown)


def test_many_copies_of_one_are_found_beside_one_other() -> None:
    of = pool(0, experts=2, pairs=20)
    found = by_answers(of.products.of([0, 0, 1, 0, 0]))
    assert [(one.expert, one.of) for one in found] == [(1, (0,)), (3, (0,)), (4, (0,))]


def test_independent_experts_are_no_copies_and_no_merges() -> None:
    assert not any(by_answers(pool(seed, pairs=20).products) for seed in range(20))


def test_sets_are_as_good_as_the_best_of_all() -> None:
    for seed in range(12):
        of = pool(seed, pairs=40)
        halves = split(of.prompts)
        for step in chosen(of, leave_out=False).steps:
            every = itertools.combinations(range(8), len(step.experts))
            best = max(halves.choose.value(of.scores(one)) for one in every)
            assert step.chosen >= best - 0.005


def test_an_expert_that_pays_is_kept_and_one_that_does_not_is_not() -> None:
    """Three experts that know what they know, and two that are as unsure of everything."""
    of = pool(0, experts=5, pairs=150, worth=[1.2, 1.2, 1.2, 0, 0], dimensions=100)
    found = chosen(of, most=5)
    assert len(found.steps) == 4 and found.steps[0].kept and found.steps[1].kept and not found.steps[2].kept
    assert set(found.chosen) == set(found.steps[1].experts) and len(found.chosen) == 3
    gain = found.steps[1].gain
    assert gain is not None and gain.low > 0
    assert found.all_experts.value < found.steps[1].value.value
    assert set(found.as_dict()) >= {"chosen", "steps", "redundant", "all_experts", "tasks"}


def test_of_copies_alone_two_are_taken() -> None:
    of = pool(0, experts=2, pairs=20)
    three = of.products.of([0, 0, 0])
    found = select(lambda experts: of.scores([0, 1]), split(of.prompts), 3, 3, by_answers(three))
    assert len(found.chosen) == 2


def test_values_are_aurocs_and_draws_are_spread_around_them() -> None:
    of = pool(2, pairs=40)
    halves, scores = split(of.prompts), of.scores(range(8))
    for half in (halves.choose, halves.report):
        assert half.names == ("shuffled", "nonsense")
        plain = [auroc(scores[one.low], scores[one.high]) for one in half.each]
        assert half.aurocs(scores).tolist() == pytest.approx(plain)
        draws = half.draws(scores)
        assert draws.shape == (DRAWS,)
        assert draws.mean() == pytest.approx(half.value(scores), abs=0.01)
        assert 0.01 < draws.std() < 0.1


def test_a_difference_that_no_draw_shows_is_not_said_to_be_surely_none() -> None:
    found = Interval.of(1.0, np.ones(DRAWS), 30).within(0, 1)
    assert found.high == 1 and found.low == pytest.approx((1 + 0.025 ** (1 / 30)) / 2)
    assert found.text() == "1.000 (0.942 to 1.000)"


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "like the others"])
def test_a_loss_that_large_is_seldom_missed(kind: str) -> None:
    """A score that loses what so many prompts may miss shows it in 39 of 40 cases or more, also with heavier tails."""
    count, chance = 30, np.random.default_rng(0)

    def drawn(apart: float, prompts: int) -> tuple[Floats, Floats]:
        if kind == "like the others":
            low, high = chance.normal(size=(2, 4000, prompts))
            return low, np.where(chance.uniform(size=high.shape) < apart, high, high + 100)
        low, high = (
            chance.normal(size=(2, 4000, prompts)) if kind == "normal" else chance.standard_t(3, (2, 4000, prompts))
        )
        return low, high + apart

    apart = {"normal": 2.221, "heavy tails": 3.286, "like the others": 2 * missed(count)}[kind]
    low, high = drawn(apart, 100)
    assert float((high < low).mean()) == pytest.approx(missed(count), rel=0.05)
    low, high = drawn(apart, count)
    assert float((high.min(axis=1) > low.max(axis=1)).mean()) < 0.03
    assert missed(prompts_for(0.02)) == pytest.approx(0.02) and prompts_for(0) == np.inf and prompts_for(1) == 1


def test_few_bad_prompts_are_few_however_many_good_ones_there_are() -> None:
    prompts = [Asked("marked", f"{n}", f"{n}", bad=n < 8) for n in range(400)]
    halves = split(prompts)
    scores = np.array([float(bool(one.bad)) for one in prompts])
    assert halves.report.prompts == pytest.approx(4)
    found = halves.report.interval(halves.report.value(scores), halves.report.draws(scores))
    assert found.value == 1 and found.low == pytest.approx(1 - missed(4)) and found.low < 0.71
    assert split(asked(40)).report.prompts == pytest.approx(20)
    grouped = split(asked(40, [{"market": "fi"}, {"market": "jp"}])).report
    assert len(grouped.each) == 4 and grouped.prompts == pytest.approx(20)


def test_a_prompt_and_its_twins_are_in_one_half() -> None:
    prompts = asked(40)
    halves = split(prompts)
    places = [
        {int(place) for task in half.each for place in (*task.low, *task.high)}
        for half in (halves.choose, halves.report)
    ]
    pairs = [{prompts[place].pair for place in side} for side in places]
    assert not pairs[0] & pairs[1] and len(pairs[0]) == len(pairs[1]) == 20


def test_groups_count_alike_and_small_ones_together() -> None:
    groups = [{"market": "fi"}, {"market": "jp"}, {"market": "jp"}, {"market": "jp"}]
    names = split(asked(40, groups)).report.names
    assert names == ("market=fi: shuffled", "market=jp: shuffled", "market=fi: nonsense", "market=jp: nonsense")
    small = split(asked(16, [{"market": str(number)} for number in range(16)])).report.names
    assert small == ("others: shuffled", "others: nonsense") or small == ("shuffled", "nonsense")


def test_marks_are_the_only_task_where_there_are_some() -> None:
    prompts = [Asked("marked", str(number), f"text {number}", {}, number % 3 == 0) for number in range(60)]
    halves = split([*prompts, *asked(10)])
    assert halves.report.names == ("bad against good",)
    assert all(prompts[place].bad for half in (halves.choose, halves.report) for place in half.each[0].high)


def test_what_cannot_be_is_one_sentence() -> None:
    with pytest.raises(EMoEError, match="too few prompts to choose by"):
        split(asked(6))
    with pytest.raises(EMoEError, match="at least two experts"):
        select(lambda _: np.zeros(3), split(asked(20)), 1)


def test_twins_are_the_same_in_any_company() -> None:
    both = twins(["a red house on a hill", "two dogs"])
    assert both[:3] == twins(["a red house on a hill"])
    assert [one.kind for one in both] == ["reference", "shuffled", "nonsense", "reference", "nonsense"]
    rows = [
        PromptRow(number, number, f"a thing of kind {number}", {"market": "fi", "note": "x"}) for number in range(10)
    ]
    found = of_rows(rows, ("market",), most=4)
    assert len(found) == 12 and found[0].groups == {"market": "fi"}
