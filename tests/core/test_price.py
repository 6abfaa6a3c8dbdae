"""What scores take: counted, kept, expected, and what other ways of scoring would save."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emoe_core.records.took import Took, in_words
from emoe_core.scoring.price import MOST, Kind, Meter, Prices, planned, short
from emoe_core.scoring.savings import Held, price_of

UNET = ("mid_in", "mid_out", "noise_pred")
WHO = tuple(letter * 64 for letter in "abcd")
KIND = Kind(short(WHO), "noise_pred", (1, 4, 16, 16), "float32", "cpu")


def run(seconds: float = 0.25, empty: bool = False, load: float = 0.0, who: tuple[str, ...] = WHO) -> Meter:
    """Two noise samples in one call of each expert, and the kept empty prompt's call."""
    meter = Meter()
    for one in who:
        meter.read(one, load)
        meter.called(one, 2, seconds, 0.01, empty=False, once=False)
        if empty:
            meter.called(one, 2, seconds, 0.01, empty=True, once=True)
    return meter


def test_a_run_is_counted_and_said() -> None:
    took = run(empty=True, load=0.1).took(2.8, 1, (1.3, 2.6))
    assert (took.experts, took.calls, took.empty) == (4, 8, 4)
    assert took.inside == pytest.approx(2.0) and took.around == pytest.approx(0.48)
    assert (
        took.line() == "took 2.8 s (4 experts, 8 calls, 4 of them for the empty prompt); expected next: 1.3 s to 2.6 s"
    )
    assert replace(took, empty=0, expected=(2.6, 2.6)).line() == "took 2.8 s (4 experts, 8 calls); expected next: 2.6 s"
    assert took.next() == ["1.3 s", "2.6 s"] and replace(took, expected=None).next() == []
    assert replace(took, expected=None).line().endswith("empty prompt)")  # nothing is said where nothing was measured
    told = json.loads(json.dumps(took.as_dict()))
    assert told["expected"] == [1.3, 2.6] and [one["around"] for one in told["each"]] == [0.12] * 4


def test_a_list_is_said_per_prompt() -> None:
    took = Took(3.2, 8, 4, 16, 0, 3.0, 0.1, (3.0, 3.0))
    assert took.line() == "took 0.4 s per prompt (3.2 s for 8; 4 experts, 16 calls); expected next: 0.38 s per prompt"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.034, "0.034 s"), (2.84, "2.8 s"), (14.2, "14 s"), (200.0, "3 min"), (0.0, "0 s")]
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_next_run_is_expected_from_the_last() -> None:
    prices, again = Prices(), run().again()
    assert prices.expected(KIND, again) is None
    prices.add(KIND, run(empty=True), 5.0, "centred_layout", 2)  # 2 s in the networks, 3 s of loading and the like
    assert prices.expected(KIND, again) == pytest.approx((1.0, 4.0))  # whether it loads again is not known yet
    prices.add(KIND, run(), 1.2, "centred_layout", 2)
    assert prices.expected(KIND, again) == pytest.approx((1.2, 1.2))
    assert prices.expected(KIND, planned(WHO, 1)) == pytest.approx((0.7, 0.7))  # one noise sample
    assert prices.expected(KIND, planned(("e" * 64,), 1)) is None
    assert prices.expected(replace(KIND, shape=(1, 4, 32, 32)), again) is None


def test_another_process_expects_to_load() -> None:
    prices = Prices()
    prices.add(KIND, run(), 5.0, "centred_layout", 2)
    prices.add(KIND, run(), 1.2, "centred_layout", 2)
    later = Prices.of_text(prices.text())
    assert later.records == prices.records
    assert later.expected(KIND, run().again()) == pytest.approx((5.0, 5.0))
    later.add(KIND, run(), 4.5, "centred_layout", 2)
    assert later.expected(KIND, run().again()) == pytest.approx((1.2, 1.2))


def test_what_loads_no_more_counts_as_loaded() -> None:
    """The middle of networks that were loaded whole is there; the whole ones are not after their middle alone."""
    prices, middle = Prices(), replace(KIND, tap="mid_out")
    prices.add(middle, run(), 3.0, "relative", 2)
    assert prices.is_first(KIND) and not prices.is_first(middle)
    prices = Prices()
    prices.add(KIND, run(), 3.0, "relative", 2)
    assert not prices.is_first(middle)


def test_an_empty_or_odd_run_is_no_price() -> None:
    prices, meter = Prices(), Meter()
    meter.read(WHO[0], 1.0)
    prices.add(KIND, meter, 1.0, "relative", 2)
    assert not prices.records and meter.again() == {}


def test_few_are_kept_and_the_oldest_goes() -> None:
    prices = Prices()
    for side in range(MOST + 3):
        prices.add(replace(KIND, shape=(1, 4, side, side)), run(), 1.0, "relative", 2)
    assert len(prices.records) == MOST and replace(KIND, shape=(1, 4, 2, 2)) not in prices.records
    assert len(prices.text()) < 40_000


def test_a_damaged_file_is_no_prices() -> None:
    prices = Prices()
    prices.add(KIND, run(), 1.0, "relative", 2)
    whole = json.loads(prices.text())
    one, kind = whole["records"][0], whole["records"][0]["kind"]
    bad = [
        [],
        {},
        {**whole, "schema": 2},
        {**whole, "records": {}},
        *(
            {**whole, "records": [other]}
            for other in (
                None,
                {},
                {**one, "more": 1},
                {**one, "units": {"a": "fast"}},
                {**one, "units": {"a": -1.0}},
                {**one, "first": True},
                {**one, "later": 1e300},
                {**one, "noise_samples": 1.5},
                {**one, "noise_samples": 0},
                {**one, "kind": None},
                {**one, "kind": {**kind, "shape": ["a"]}},
                {**one, "kind": {**kind, "experts": [1]}},
                {**one, "kind": {**kind, "listed": 1}},
            )
        ),
    ]
    for data in bad:
        with pytest.raises(ValueError):
            Prices.of_text(json.dumps(data))
    for text in ("", "{", "NaN", prices.text()[:-9]):
        with pytest.raises(ValueError):
            Prices.of_text(text)


def test_savings_of_measured_seconds_and_shares() -> None:
    prices, held = Prices(), [Held(1000, 2000)] * 4
    said = price_of(WHO, UNET, "layout", prices.latest(WHO, "cpu"), held, 2)
    assert said.seconds is None and said.passes == 8 and "nothing was measured" in said.lines()[0]
    assert all(one.seconds in (None, 0.0) for one in said.savings)
    prices.add(KIND, run(), 5.0, "centred_layout", 2)
    prices.add(KIND, run(), 1.2, "centred_layout", 2)
    prices.add(replace(KIND, tap="mid_out"), run(0.1), 0.6, "relative", 2)
    said = price_of(WHO, UNET, "layout", prices.latest(reversed(WHO), "cpu"), held, 2)
    assert said.lines() == [
        "price: 1.2 s per prompt on cpu, latents of 4x16x16 (preset layout with 2 noise samples, 8 network passes of 0.12 s)",
        "- the first score after a start: 5.0 s",
        "- preset fast or paper: 0.6 s per prompt, 50 % less (measured)",
        "- preset thorough: costs the same",
        "- one noise sample less: saves 50 % of the passes, about 0.5 s",
        "- two stages (a calibration made with staged): saves 50 % to 75 % of the passes, about 0.5 s or more",
        "- preset one_model with the first expert alone: saves 75 % of the passes, about 0.75 s; no ensemble",
        "- slim (Load Experts): saves 66 % of the weights' 8 kB; loading takes longer (not measured)",
        "- files in 8 bits: saves 50 % of the weights' 8 kB; a call is faster only where the card computes in 8 bits "
        "(not measured)",
    ]
    assert json.loads(json.dumps(said.as_dict()))["savings"][2]["passes"] == 0.5
    assert prices.latest(WHO, "cuda:0") == {} and prices.latest(WHO[:3], "cpu") == {}


def test_few_experts_and_light_weights_save_less() -> None:
    said = price_of(WHO[:1], UNET, None, {}, [Held(1000, 1000)], 2)
    ways = ["fast or paper", "thorough or layout", "one noise sample less"]
    assert said.preset == "one_model" and [one.what for one in said.savings] == ways
