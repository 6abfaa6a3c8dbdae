"""A choice's file: whole to the last digit, gone on with block by block, and refused where it is none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emoe_testing.choices import Pool, about, pool, spent

from emoe_core.choosing.record import About, Block, Kept, read
from emoe_core.choosing.result import choose
from emoe_core.errors import EMoEError
from emoe_core.io.results_file import ResultsFile

POOL = pool(0, experts=4, pairs=10, dimensions=40, samples=2)


def block(of: Pool, start: int, stop: int, levels: int = 1, share: float | None = None) -> Block:
    part = of.products.at(range(start, stop))
    here = {"layout": part, "shift": part, "prompt": part}
    return Block(tuple([here] * levels), tuple([spent(4, 2 * (stop - start))] * levels), share)


def written(path: Path, made: About, blocks: int = 3, levels: int = 1) -> Path:
    kept = Kept(path, made)
    for number in range(blocks):
        kept.add(block(POOL, 10 * number, 10 * number + 10, levels, 0.4 if number == 0 else None))
    kept.close()
    return path


def test_what_was_measured_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    made = about(POOL, levels=2)
    found = read(written(tmp_path / "a.choice.jsonl", made, levels=2))
    assert found.about == made and found.done == 30 and found.prompts == POOL.prompts and found.share == 0.4
    for level in (0, 1):
        for feature in ("layout", "shift", "prompt"):
            one = found.products[level, feature]
            assert np.array_equal(one.square, POOL.products.square) and np.array_equal(one.apart, POOL.products.apart)
    assert found.presets(0) == ["fast", "thorough", "paper", "one_model", "layout"]
    assert found.scores(1, "layout", [2, 0]).tolist() == POOL.scores([2, 0]).tolist()
    assert found.seconds(0, "layout", [0, 1], 2) == pytest.approx(2.0)
    assert found.seconds(0, "fast", [0, 1], 2) == pytest.approx(0.8)
    assert found.seconds(0, "one_model", [0, 1], 1) == pytest.approx(0.5)


def test_an_unfinished_file_is_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path / "a.choice.jsonl", about(POOL), blocks=1)
    assert read(path).done == 10
    with path.open("ab") as file:
        file.write(b'{"until": 20, "products": [{"layout"')  # killed while it wrote
    assert read(path).done == 10
    kept = Kept(path, about(POOL))
    assert kept.done == 10
    with pytest.raises(EMoEError, match="Another choice is writing .*; wait for it or give another name"):
        Kept(path, about(POOL))
    kept.add(block(POOL, 10, 30))
    kept.close()
    assert np.array_equal(read(path).products[0, "layout"].square, POOL.products.square)
    with pytest.raises(EMoEError, match="no prompt yet"):
        read(written(tmp_path / "b.choice.jsonl", about(POOL), blocks=0))


def test_other_experts_settings_or_prompts_are_refused(tmp_path: Path) -> None:
    made = about(POOL)
    path = written(tmp_path / "mine.choice.jsonl", made)
    for other, what in (
        (replace(made, experts=made.experts[:3]), "experts"),
        (replace(made, levels=(replace(made.levels[0], step=4),)), "settings"),
        (replace(made, samples=1), "settings"),
        (replace(made, beside="another clip"), "inputs"),
        (replace(made, prompts=made.prompts[1:]), "prompts"),
    ):
        with pytest.raises(EMoEError, match=f"'mine' was begun with other {what}"):
            Kept(path, other)
    Kept(path, replace(made, experts=tuple(replace(one, size=1) for one in made.experts))).close()
    assert read(path).done == 30


def test_a_file_that_cannot_be_begun_stays_unlocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise EMoEError("no room")

    with monkeypatch.context() as patched, pytest.raises(EMoEError, match="no room") as error:
        patched.setattr(ResultsFile, "append", full)
        Kept(tmp_path / "a.choice.jsonl", about(POOL))
    Kept(tmp_path / "a.choice.jsonl", about(POOL)).close()
    assert error.traceback  # what it refers to was still there


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("experts", 0, "name"), None),
        (("experts", 0, "size"), "large"),
        (("experts", 0, "size"), float("nan")),
        (("levels", 0, "size", 0), 0),
        (("levels", 0, "size", 0), 10**30),
        (("levels", 0, "middle"), ""),
        (("prompts", 0, "pair"), []),
        (("prompts", 0, "groups"), "market"),
        (("prompts", 0, "bad"), "yes"),
        (("preset",), "fastest"),
        (("preset",), "one_model"),
        (("beside",), 1),
        (("redundant",), [{"expert": 0, "of": [], "weight": 1, "left": 0}]),
        (("redundant",), [{"expert": 0, "of": [1], "weight": "x", "left": 0}]),
    ],
)
def test_a_damaged_first_line_is_one_sentence(tmp_path: Path, where: tuple[str | int, ...], value: object) -> None:
    path = written(tmp_path / "a.choice.jsonl", replace(about(POOL), preset="fast"))
    first, *rest = path.read_text().splitlines()
    body = here = json.loads(first)
    for part in where[:-1]:
        here = here[part]
    here[where[-1]] = value
    path.write_text("\n".join([json.dumps(body), *rest]) + "\n")
    with pytest.raises(EMoEError, match=r"is damaged; delete it and measure again\.$"):
        read(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace('"until": 10', '"until": 11'),
        lambda line: line.replace('"square": "', '"square": "!'),
        lambda line: line.replace('"square": "', '"square": "AAAA'),
        lambda line: json.dumps({**json.loads(line), "products": []}),
        lambda line: json.dumps({**json.loads(line), "spent": [[]]}),
        lambda line: json.dumps({**json.loads(line), "share": "much"}),
        lambda line: json.dumps({**json.loads(line), "share": -0.5}),
        lambda line: line.replace('"seconds": ', '"seconds": "5", "first": '),
        lambda line: line.replace('"seconds": ', '"seconds": NaN, "first": '),
        lambda line: "[" * 1000 + "]" * 1000,
        lambda line: "7",
    ],
)
def test_a_damaged_block_is_one_sentence(tmp_path: Path, spoil: object) -> None:
    path = written(tmp_path / "a.choice.jsonl", about(POOL), blocks=1)
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{spoil(second)}\n")  # type: ignore[operator]
    with pytest.raises(EMoEError, match=r"is damaged; delete it and measure again\.$"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no file that Choose Experts wrote"),
        ("{}\n", "no file that Choose Experts wrote"),
        ("[1]\n", "no file that Choose Experts wrote"),
        ('{"emoe_choice": 9}\n', "newer version"),
        ('{"emoe_choice": "1"}\n', "is damaged"),
        ('{"emoe_choice": 1}\n', "is damaged"),
        (
            '{"emoe_choice": 1, "experts": [], "levels": [], "prompts": [], "samples": 1, "preset": "layout"}\n',
            "is damaged",
        ),
    ],
)
def test_what_is_no_choice_is_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.choice.jsonl"
    path.write_text(content)
    with pytest.raises(EMoEError, match=said) as spoilt:
        read(path)
    with pytest.raises(EMoEError, match="cannot be read") as missing:
        read(tmp_path / "missing")
    with pytest.raises(EMoEError, match="cannot be read"):
        read(tmp_path)
    assert not any(str(tmp_path) in str(error.value) for error in (spoilt, missing))  # a server's clients see it


def test_a_choice_that_is_being_written_or_no_file_is_named_without_its_folder(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "a.choice.jsonl", about(POOL))
    with pytest.raises(
        EMoEError, match=r"^Another choice is writing 'a\.choice\.jsonl'; wait for it or give another name\.$"
    ):
        Kept(tmp_path / "a.choice.jsonl", about(POOL))
    kept.close()
    (tmp_path / "b.choice.jsonl").mkdir()
    with pytest.raises(
        EMoEError, match=r"^The results file 'b\.choice\.jsonl' is no regular file; give another name\.$"
    ):
        Kept(tmp_path / "b.choice.jsonl", about(POOL))


def test_a_file_of_version_1_stays_readable() -> None:
    found = read(Path(__file__).parents[1] / "data" / "choice_1.choice.jsonl")
    assert (found.done, found.about.samples, found.share) == (36, 1, 0.4)
    chosen = choose(found)
    assert chosen.selection.chosen == (1, 2)
    assert [(one.expert, one.of) for one in chosen.selection.redundant] == [(3, (0,))]
    assert chosen.selection.all_experts.value == pytest.approx(0.625)
