"""Judges of a trial's pictures: a table of another tool's, the demo experts' known pictures, and how their word is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from emoe_core import demo
from emoe_core.cli.main import main
from emoe_core.cli.prove import place
from emoe_core.errors import EMoEError
from emoe_core.trial.judges import Asked, LeftOut, drawn, work
from emoe_core.trial.judges.demo import DemoJudge
from emoe_core.trial.judges.table import TableJudge
from emoe_core.trial.pictures import NoPicture, find
from emoe_core.trial.store import BAD, GOOD, Drawn, Judgement, Picture, Trial

PROMPTS = ("panda", "a  red house", "piano", "cat in a hat")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Four prompts with two pictures each, and one that is only looked at."""
    made = Trial(tmp_path / "t.sqlite3", patience=0.3)
    made.begin({"pictures": 2})
    for row, prompt in enumerate(PROMPTS, start=1):
        pictures = [Drawn(n, "", f"p_{row}_{n}.png", "drawn", "output") for n in range(2)]
        made.add(f"{row}", row, prompt, {}, {}, pictures)
    made.add("9", 9, "never drawn", {"stage": "look"}, {}, [])
    return made


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "marks.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def ids(trial: Trial) -> list[int]:
    return [one.picture.id for one in drawn(trial.contents())]


def said(trial: Trial, judge: str) -> dict[int, tuple[float, bool | None]]:
    return {one.picture: (one.value, one.bad) for one in trial.contents().judgements if one.judge == judge}


# --- how a judge works ----------------------------------------------------------------------------------------------


class Counting:
    """Counts what it is asked, and may fail."""

    notes: Sequence[str] = ("That is all.",)

    def __init__(self, name: str = "own", models: str = "a", fails_after: int = 99) -> None:
        self.name, self.models, self.fails_after, self.asked = name, models, fails_after, 0

    def about(self, asked: Asked) -> str:
        return self.models

    def judge(self, asked: Sequence[Asked]) -> Iterable[Judgement | LeftOut]:
        for one in asked:
            if self.asked == self.fails_after:
                raise KeyboardInterrupt
            self.asked += 1
            yield Judgement(one.picture.id, self.name, 0.5, one.picture.number == 1, self.models)


def test_what_was_judged_is_not_asked_again(trial: Trial) -> None:
    first, second = Counting(), Counting()
    assert work(trial, first).now == 8 and first.asked == 8
    found = work(trial, second)
    assert (second.asked, found.now, found.before, found.good, found.bad) == (0, 0, 8, 4, 4)
    assert found.lines() == ["'own' judged 0 pictures now and 8 before: 4 of 8 are bad.", "That is all."]
    assert work(trial, Counting(models="b")).now == 8
    assert work(trial, Counting(name="other")).now == 8
    assert len(trial.contents().judgements) == 16


def test_a_judge_that_is_stopped_goes_on_from_there(trial: Trial) -> None:
    steps: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        work(trial, Counting(fails_after=3), lambda done, total: steps.append((done, total)))
    assert len(said(trial, "own")) == 3 and steps[-1] == (3, 8)
    assert work(trial, Counting()).now == 5


def test_the_eye_and_the_judge_are_compared(trial: Trial) -> None:
    pictures = ids(trial)
    assert not any("kappa" in note for note in work(trial, Counting()).notes)
    for picture in pictures:
        trial.mark(picture, BAD if picture % 2 == 0 else GOOD)
    trial.mark(pictures[0], BAD)
    (note,) = (one for one in work(trial, Counting()).notes if "kappa" in one)
    assert "Of 8 pictures that were marked by eye too, the judge says the same of 7 (Cohen's kappa 0.75" in note


def test_a_trial_without_pictures_or_without_a_file(tmp_path: Path) -> None:
    empty = Trial(tmp_path / "empty.sqlite3")
    empty.begin({})
    with pytest.raises(EMoEError, match="The trial 'empty' has no pictures yet"):
        work(empty, Counting())
    with pytest.raises(EMoEError, match="There is no trial at"):
        work(Trial(tmp_path / "none.sqlite3"), Counting())


# --- a table --------------------------------------------------------------------------------------------------------


def test_numbers_by_filename(trial: Trial, table: Callable[[str], Path]) -> None:
    path = table(
        "filename,score\np_1_0.png,0.9\ndrawn/p_1_1.png,0.2\nC:\\out\\drawn\\p_2_0.png,0.4\nelse/p_2_1.png,1\nx.png,3\n"
    )
    found = work(trial, TableJudge(path, "score", bad_below=0.5))
    one, two, three, *_ = ids(trial)
    assert said(trial, "score") == {one: (0.9, False), two: (0.2, True), three: (0.4, True)}
    assert found.left_out == {"the table has no row for them": 5}
    assert found.notes == ["Rows that match no picture of the trial: 2, such as 'else/p_2_1.png'."]
    work(trial, TableJudge(path, "score", "plain"))
    assert said(trial, "plain")[two] == (0.2, None)


def test_words_by_prompt_and_by_picture(trial: Trial, table: Callable[[str], Path]) -> None:
    first = ids(trial)[0]
    work(trial, TableJudge(table("prompt;shown\na red house;No\n panda ;yes\npiano;\ncat in a hat;perhaps\n"), "shown"))
    assert said(trial, "shown") == {
        first: (1, False),
        first + 1: (1, False),
        first + 2: (0, True),
        first + 3: (0, True),
    }
    work(trial, TableJudge(table(f"picture,bad\n{first},yes\n{first + 1},0\n"), "bad"))
    assert said(trial, "bad") == {first: (0, True), first + 1: (1, False)}


def test_rows_that_cannot_be_used_are_told(trial: Trial, table: Callable[[str], Path]) -> None:
    found = work(trial, TableJudge(table("prompt,q\npanda,perhaps\npiano,nan\na red house,bad\ncat in a hat,\n"), "q"))
    assert found.notes == [
        "Rows that were left out: 2; the first: line 2 has 'perhaps', which is neither a number nor good or bad.",
        "Rows that are empty in this column: 1.",
    ]


def test_a_filename_that_several_pictures_have_is_nobodys(trial: Trial, table: Callable[[str], Path]) -> None:
    trial.add("8", 8, "twin", {}, {}, [Drawn(0, "http://other:8188", "p_1_0.png", "", "output")])
    found = work(trial, TableJudge(table("filename,q\np_1_0.png,1\n"), "q"))
    assert found.now == 0 and any("that of several pictures" in reason for reason in found.left_out)
    assert work(trial, TableJudge(table("filename,q\ndrawn/p_1_0.png,1\n"), "q")).now == 0  # the other's end agrees too


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("filename,q\n", "q", "has no rows below its header"),
        ("filename,q\na.png,1\n", "r", "no column 'r'; its columns are filename, q"),
        ("name,q\na.png,1\n", "q", "none of the columns filename, picture, prompt"),
        ("filename,q\na.png,perhaps\n", "q", "has no word on any picture"),
        ("filename,q\na.png,1\na.png,2\n", "q", "says two things of 'a.png', the second in line 3"),
    ],
)
def test_a_table_that_cannot_be_used(table: Callable[[str], Path], text: str, column: str, message: str) -> None:
    with pytest.raises(EMoEError, match=message):
        TableJudge(table(text), column)


def test_a_table_takes_no_other_judges_name(table: Callable[[str], Path]) -> None:
    path = table("filename,clip\na.png,1\n")
    with pytest.raises(EMoEError, match="'clip' is the name of one of the pack's own judges"):
        TableJudge(path, "clip")
    assert TableJudge(path, "clip", "their clip").name == "their clip"
    with pytest.raises(EMoEError, match="--bad-below is nan"):
        TableJudge(path, "clip", "x", bad_below=float("nan"))


# --- the demo experts' pictures -------------------------------------------------------------------------------------


def names(count: int) -> list[tuple[int, str]]:
    """Things whose English name no other thing has in any language."""
    concepts = demo.ground_truth()["concepts"]
    every = [name.lower() for concept in concepts for name in set(concept["names"].values())]
    single = [(i, c["names"]["en"]) for i, c in enumerate(concepts) if every.count(c["names"]["en"].lower()) == 1]
    return single[:count]


def tile(index: int) -> Image.Image:
    with Image.open(demo.FOLDER / "reference.png") as page:
        columns = page.width // 32
        left, top = index % columns * 32, index // columns * 32
        return page.convert("RGB").crop((left, top, left + 32, top + 32))


@pytest.fixture
def of_demo(tmp_path: Path) -> tuple[Trial, Path, list[tuple[int, str]]]:
    """A right picture, another thing's and noise, for each of three prompts; and a prompt that names nothing."""
    output, chosen = tmp_path / "ComfyUI" / "output", names(3)
    output.mkdir(parents=True)
    made = Trial(tmp_path / "ComfyUI" / "user" / "emoe" / "trials" / "demo.sqlite3")
    made.begin({})
    rng = np.random.default_rng(3)
    for row, (index, name) in enumerate(chosen):
        other = chosen[(row + 1) % 3][0]
        noise = Image.fromarray(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8))
        pictures = [tile(index).resize((128, 128)), tile(other).resize((128, 128)), noise]
        for number, picture in enumerate(pictures):
            picture.save(output / f"{row}_{number}.png")
        made.add(str(row), row, name, {}, {}, [Drawn(n, "", f"{row}_{n}.png", "", "output") for n in range(3)])
    made.add("x", 9, "no such thing", {}, {}, [Drawn(0, "", "0_0.png", "", "output")])
    return made, output, chosen


@pytest.fixture
def at_home(of_demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "default_path", lambda: tmp_path / "ComfyUI" / "user" / "emoe" / "ledger.sqlite3")


def test_the_right_picture_is_good_and_others_are_bad(
    of_demo: tuple[Trial, Path, list[tuple[int, str]]], at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, output, chosen = of_demo
    assert main(["prove", "judge", "--trial", "demo", "--judge", "demo"]) == 0
    told = capsys.readouterr().out
    assert "'demo' judged 9 pictures: 6 of 9 are bad." in told and "1 picture left out: no picture is the right" in told
    judged = said(trial, "demo")
    for one in drawn(trial.contents()):
        if one.picture.id in judged:
            value, bad = judged[one.picture.id]
            assert bad == (one.picture.number > 0) and (value == 1) == (not bad) and 0 <= value <= 1
    assert (
        main(["prove", "judge", "--trial", str(trial.path), "--judge", "demo", "--pictures", str(output), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["bad"] == 6


def test_the_criterion_is_that_of_the_validity_page(of_demo: tuple[Trial, Path, list[tuple[int, str]]]) -> None:
    """The same places as squared distances of averaged pixels in torch give, as docs/validity.md has them."""
    trial, output, _ = of_demo
    known = torch.stack([_pixels(tile(i)) for i in range(len(demo.ground_truth()["concepts"]))]).flatten(1)
    named = {name: index for index, name in names(3)}
    work(trial, DemoJudge(lambda picture: Image.open(output / picture.filename)))
    judged = said(trial, "demo")
    for one in drawn(trial.contents()):
        if one.picture.id not in judged:
            continue
        with Image.open(output / one.picture.filename) as picture:
            small = F.adaptive_avg_pool2d(_pixels(picture), 32).flatten()
        distance = (known - small).square().sum(1)
        above = int((distance < distance[named[one.prompt.prompt]]).sum())
        assert judged[one.picture.id] == (pytest.approx(1 - above / (len(known) - 1)), above > 0)


def _pixels(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).movedim(-1, 0).double() / 255


def test_deleted_and_broken_pictures_are_told_and_nothing_is_lost(
    of_demo: tuple[Trial, Path, list[tuple[int, str]]], at_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, output, _ = of_demo
    assert main(["prove", "judge", "--trial", "demo", "--judge", "demo"]) == 0
    before = said(trial, "demo")
    (output / "0_0.png").unlink()
    (output / "0_1.png").write_bytes(b"no picture")
    capsys.readouterr()
    assert main(["prove", "judge", "--trial", "demo", "--judge", "demo"]) == 0
    told = capsys.readouterr().out
    assert "1 picture left out: their files are not there any more." in told
    assert "1 picture left out: their files are no pictures that can be read." in told
    assert said(trial, "demo") == before


class _View(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        there = "filename=there.png&subfolder=a+b&type=output" in self.path
        self.send_response(200 if there else 404)
        self.end_headers()
        if there:
            tile(0).save(self.wfile, "PNG")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), _View)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_pictures_come_from_the_server_that_drew_them(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(tmp_path / "far.sqlite3")
    trial.begin({})
    drawings = [
        Drawn(0, server, "there.png", "a b", "output"),
        Drawn(1, server, "gone.png", "", "output"),
        Drawn(2, "http://127.0.0.1:9", "x.png", "", "output"),
        Drawn(3, "file:///etc", "passwd", "", "output"),
    ]
    trial.add("1", 1, demo.ground_truth()["concepts"][0]["names"]["en"], {}, {}, drawings)
    assert main(["prove", "judge", "--trial", str(trial.path), "--judge", "demo", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["now"], told["bad"]) == (1, 0)
    reasons = " ".join(told["left_out"])
    assert f"{server} does not have them any more" in reasons and "http://127.0.0.1:9 does not answer" in reasons
    assert "'file:///etc' is no address" in reasons


@pytest.mark.parametrize(
    ("subfolder", "filename"), [("..", "secret.png"), ("", "../secret.png"), ("a", "\0"), ("/", "x")]
)
def test_a_row_leads_nowhere_else(tmp_path: Path, subfolder: str, filename: str) -> None:
    (tmp_path / "output" / "a").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"x")
    picture = Picture(1, 1, 0, "", filename, subfolder, "output", None, None, 0.0)
    with pytest.raises(NoPicture, match="lead out of ComfyUI's folders"):
        find(picture, {"output": tmp_path / "output"})


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trial", "none", "--judge", "demo"], "There is no trial at"),
        (["--trial", "none"], "No judge is named"),
        (["--trial", "none", "--csv", "x.csv"], "give --csv FILE and --column NAME"),
        (["--trial", "none", "--csv", "x.csv", "--column", "q"], "The table 'x.csv' cannot be read"),
    ],
)
def test_the_command_says_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "judge", *words]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


def test_the_command_takes_a_table(
    trial: Trial, table: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = table("picture,q\n1,0.25\n")
    words = ["--trial", str(trial.path), "--csv", str(path), "--column", "q", "--name", "mine", "--bad-below", "0.5"]
    assert main(["prove", "judge", *words]) == 0
    assert "'mine' judged 1 picture: 1 of 1 are bad." in capsys.readouterr().out


def test_a_plain_name_is_in_the_users_folder(at_home: None, tmp_path: Path) -> None:
    assert place.trial_path("mine") == tmp_path / "ComfyUI" / "user" / "emoe" / "trials" / "mine.sqlite3"
    assert place.trial_path("there/mine.sqlite3") == Path("there/mine.sqlite3")
