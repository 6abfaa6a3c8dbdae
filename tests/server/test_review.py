"""The routes of the tab Review: what they tell, what they keep, and what they refuse in one sentence."""

from __future__ import annotations

import io
import json
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from emoe_testing.graphs import BLOCK, PASS, Graph, gated, node
from emoe_testing.verdicts import SETTINGS
from PIL import Image

from emoe_core.ledger.store import Ledger
from emoe_core.trial.store import APPLICATION_ID, Drawn, Reading, Trial

LAYOUT = Reading("layout", SETTINGS)
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90400000000002c00000000010001000002024401003b")


class Routes:
    """The routes of one server as a client sees them: status and answer."""

    def __init__(self, live: Any) -> None:
        self.url, self.output, self.user = live.url, Path(live.output), Path(live.user)

    def raw(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        request = urllib.request.Request(
            f"{self.url}{path}", body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        try:
            with DIRECT.open(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, name: str, prefix: str = "/emoe/review", **query: Any) -> tuple[int, Any]:
        status, _, body = self.raw(f"{prefix}/{name}?{urllib.parse.urlencode(query)}")
        return status, json.loads(body)

    def mark(self, content: Any, **headers: str) -> tuple[int, Any]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        status, _, answer = self.raw("/emoe/review/mark", body, **{"Content_Type": "application/json", **headers})
        return status, json.loads(answer or b"null")

    def refused(self, answer: tuple[int, Any], status: int, said: str) -> None:
        """An answer is this refusal: one sentence."""
        assert answer[0] == status, answer
        sentence = answer[1]["error"]
        assert list(answer[1]) == ["error"] and said in sentence and sentence.endswith("."), sentence
        assert "\n" not in sentence and "Traceback" not in sentence


@pytest.fixture
def routes(default_server: Any) -> Routes:
    return Routes(default_server)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "teal").save(path)


@pytest.fixture
def trial(routes: Routes, tag: str) -> Iterator[Trial]:
    """Four prompts, their pictures in the output folder; gone again at the test's end."""
    made = Trial(routes.user / "emoe" / "trials" / f"{tag}.sqlite3")
    made.begin({})
    for row in range(4):
        picture(routes.output / tag / f"{row}.png")
        drawn = [Drawn(0, "" if row else routes.url, f"{row}.png", tag, "output")]
        made.add(f"k{row}", row, f"prompt {row} ☃", {}, {LAYOUT: 0.125 + row}, drawn)
    yield made
    for file in made.path.parent.glob(f"{tag}.sqlite3*"):
        file.unlink()


def marks(trial: Trial) -> int:
    with closing(sqlite3.connect(trial.path)) as database:
        return int(database.execute("SELECT count(*) FROM marks").fetchone()[0])


def test_a_trial_is_listed_shown_and_marked(routes: Routes, trial: Trial, tag: str) -> None:
    name = f"trial:{tag}"
    for prefix in ("/emoe/review", "/api/emoe/review"):
        status, told = routes.get("sources", prefix)
        (own,) = [one for one in told["sources"] if one["source"] == name]
        assert status == 200 and own == {"source": name, "name": tag, "kind": "trial", "pictures": 4, "left": 4}
    status, told = routes.get("next", source=name, count=9, shown=1)
    assert status == 200 and told["shown"] is True
    assert [told["progress"][part] for part in ("good", "bad", "left", "auroc")] == [0, 0, 4, None]
    assert {one["prompt"] for one in told["pictures"]} == {f"prompt {row} ☃" for row in range(4)}
    assert "0.125" not in json.dumps(told) and "score" not in json.dumps(told)
    for one in told["pictures"]:  # one of them names this very server
        status, headers, body = routes.raw(one["pictures"][0]["route"])
        assert (status, headers["Content-Type"], headers["X-Content-Type-Options"]) == (200, "image/png", "nosniff")
        assert Image.open(io.BytesIO(body)).size == (8, 8)
    order = [one["id"] for one in told["pictures"]]
    assert [one["id"] for one in routes.get("next", source=name, count=9, without=order[1])[1]["pictures"]] == [
        order[0],
        *order[2:],
    ]
    for number, quality in zip(order, ("good", "bad", "good", "bad"), strict=True):
        one = {"source": name, "picture": number, "quality": quality, "token": f"{tag}-{number}"}
        status, said = routes.mark(one)
        assert status == 200 and said["marked"] == number and routes.mark(one)[0] == 200  # the second changes nothing
    assert marks(trial) == 4 and said["progress"]["left"] == 0
    assert said["progress"]["auroc"] is not None and said["progress"]["low"] is None  # four are too few for an interval
    undone = {"source": name, "picture": order[0], "quality": None, "token": f"{tag}-undo"}
    assert routes.mark(undone)[1]["progress"]["left"] == 1
    assert routes.get("next", source=name, shown=order[1])[1]["shown"] is False
    found = {one.id: one.quality for prompt in trial.contents().prompts for one in prompt.pictures}
    assert [found[number] for number in order] == [None, "bad", "good", "bad"]


def test_what_cannot_be_marked_is_refused_and_nothing_is_written(routes: Routes, trial: Trial, tag: str) -> None:
    sound = {"source": f"trial:{tag}", "picture": 1, "quality": "good", "token": f"{tag}-1"}
    routes.refused(routes.mark({**sound, "picture": 99}), 404, "no picture 99")
    routes.refused(routes.mark({**sound, "source": "trial:none"}), 404, "nothing named 'trial:none'")
    routes.refused(routes.mark({**sound, "source": "trial:../../x"}), 400, "cannot be a trial's name")
    routes.refused(routes.mark({**sound, "source": "ledger"}), 404, "nothing named 'ledger'")
    for part, wrong in {
        "source": [1, None, ["x"]],
        "picture": ["1", 1.0, True, None, -1, 10**30],
        "quality": ["best", 1, "", ["good"], {}],
        "token": ["", "short", "x" * 65, "a b c d e f", None, 123456789],
    }.items():
        for value in wrong:
            routes.refused(routes.mark({**sound, part: value}), 400, f"A mark's {part}")
        routes.refused(routes.mark({name: sound[name] for name in sound if name != part}), 400, "A mark is an object")
    for text in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 4000, b'{"source": NaN}'):
        status, said = routes.mark(text)
        assert status == 400 and said["error"].startswith("A mark "), said
    routes.refused(routes.mark(json.dumps({**sound, "more": "x" * 5000}).encode()), 413, "at most 4096 bytes")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        routes.refused(routes.mark(sound, Content_Type=kind), 415, "application/json")
    assert routes.mark(sound, Origin="http://elsewhere.example")[0] == 403  # the host's own word
    assert marks(trial) == 0
    assert routes.mark(sound)[0] == 200
    routes.refused(routes.mark({**sound, "picture": 2}), 400, "made of another picture")
    assert marks(trial) == 1


def test_a_trial_that_is_being_written_is_no_refusal_but_a_try_again(routes: Routes, trial: Trial, tag: str) -> None:
    with closing(sqlite3.connect(trial.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        one = {"source": f"trial:{tag}", "picture": 1, "quality": "good", "token": f"{tag}-1"}
        routes.refused(routes.mark(one), 503, "locked")
    assert routes.mark(one)[0] == 200 and marks(trial) == 1


def test_bad_questions_are_refused(routes: Routes, trial: Trial, tag: str) -> None:
    name = f"trial:{tag}"
    routes.refused(routes.get("next", source="trial:none"), 404, "nothing named")
    routes.refused(routes.get("next"), 404, "nothing named")
    routes.refused(routes.get("next", source=f"trial:{'x' * 300}"), 400, "cannot be a trial's name")
    for part in ("count", "shown", "without"):
        routes.refused(routes.get("next", source=name, **{part: "1e9"}), 400, part)
    routes.refused(routes.get("next", source=name, without=",".join(map(str, range(400)))), 400, "left out")
    for part, value in (("id", "x"), ("id", ""), ("place", "-1")):
        routes.refused(routes.get("picture", source=name, **{"id": 1, "place": 0, part: value}), 400, part)
    routes.refused(routes.get("picture", source=name, id=99), 404, "no picture 99")
    routes.refused(routes.get("picture", source=name, id=1, place=1), 404, "no picture 1")


HOSTILE = [
    ("../secret.png", "", "output"),
    ("secret.png", "..", "output"),
    ("secret.png", "{base}", "output"),
    ("..\\secret.png", "", "output"),
    ("secret.png", "..\\..", "output"),
    ("secret.png", "link", "output"),
    ("link.png", "", "output"),
    ("secret.png\0.png", "", "output"),
    ("secret.png", "", "user"),
    ("secret.png", "", "../output"),
    ("x" * 5000, "", "output"),
    ("", "", "output"),
    ("..", "", "output"),
    ("page.html", "", "output"),
    ("drawing.svg", "", "output"),
    ("gone.png", "", "output"),
]


def test_a_row_leads_only_to_pictures_in_the_hosts_folders(
    routes: Routes, trial: Trial, tag: str, tmp_path: Path
) -> None:
    picture(tmp_path / "secret.png")
    picture(routes.output.parent / "secret.png")
    output = routes.output
    for name, target in (("link", tmp_path), ("link.png", tmp_path / "secret.png")):
        (output / name).symlink_to(target)
    for name in ("page.html", "drawing.svg"):
        (output / name).write_text("<script>1</script>")
    (output / "small.GIF").write_bytes(GIF)
    files = [(name, folder.format(base=tmp_path), kind) for name, folder, kind in HOSTILE]
    trial.add(
        "hostile",
        9,
        "hostile",
        {},
        {},
        [Drawn(i, "", *file) for i, file in enumerate([*files, ("small.GIF", "", "output")])],
    )
    rows = trial.contents().prompts[-1].pictures
    for row in rows[:-1]:
        answer = routes.get("picture", source=f"trial:{tag}", id=row.id)
        routes.refused(answer, 404, "skip it")
        assert str(tmp_path) not in json.dumps(answer)
    status, headers, body = routes.raw(f"/emoe/review/picture?source=trial%3A{tag}&id={rows[-1].id}")
    assert (status, headers["Content-Type"], body) == (200, "image/gif", GIF)
    for name in ("link", "link.png", "page.html", "drawing.svg", "small.GIF"):
        (output / name).unlink()


def test_pictures_on_another_server_are_addresses(routes: Routes, trial: Trial, tag: str) -> None:
    servers = {
        "http://other:8188": "http://other:8188/view?filename=a+%26.png&subfolder=s&type=output",
        "https://x.example/comfy/": "https://x.example/comfy/view?filename=a+%26.png&subfolder=s&type=output",
        "javascript:alert(1)//": None,
        "file:///etc": None,
        "http://user:word@x.example": None,
        "http://x.example/?a=b": None,
        "http://[": None,
    }
    trial.add("far", 9, "far", {}, {}, [Drawn(i, server, "a &.png", "s", "output") for i, server in enumerate(servers)])
    rows = {row.server: row.id for row in trial.contents().prompts[-1].pictures}
    found = {one["id"]: one["pictures"] for one in routes.get("next", source=f"trial:{tag}", count=20)[1]["pictures"]}
    for server, address in servers.items():
        assert found[rows[server]] == [{"address": address}]
        routes.refused(routes.get("picture", source=f"trial:{tag}", id=rows[server]), 404, "on another server")


def test_a_strangers_file_hides_no_other(routes: Routes, trial: Trial, tag: str) -> None:
    folder = trial.path.parent
    (folder / f"{tag}x.sqlite3").write_text("no database, but long enough to be read as one, is what this file is")
    odd = Trial(folder / f"{tag}y.sqlite3")
    odd.begin({})
    with closing(sqlite3.connect(odd.path)) as database:
        assert database.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        database.execute("INSERT INTO prompts (key, row, prompt, columns) VALUES ('k', 1, x'00', 'no JSON')")
        database.execute("INSERT INTO pictures VALUES (1, 1, 0, 7, x'00', 8, 9, 'x', 'y', 0)")
        database.commit()
    told = {one["name"]: one for one in routes.get("sources")[1]["sources"]}
    assert told[tag]["left"] == 4 and "cannot be read" in told[f"{tag}x"]["error"]
    assert "has not written" in told[f"{tag}y"]["error"]
    routes.refused(routes.get("next", source=f"trial:{tag}y"), 400, "has not written")
    for file in folder.glob(f"{tag}?.sqlite3*"):
        file.unlink()


# --- the ledger -------------------------------------------------------------------------------------------------------


def kept(limit: float, tag: str, **changes: Any) -> Graph:
    graph = gated(limit, tag)
    graph["gate"]["inputs"] |= {"ledger": True, **changes}
    return graph


def test_the_ledger_shows_the_pictures_of_its_runs_and_keeps_them(
    default_server: Any, routes: Routes, tag: str
) -> None:
    ledger = Ledger(routes.user / "emoe" / "ledger.sqlite3")
    try:
        run = default_server.run(kept(PASS, tag))
        default_server.run(kept(BLOCK, f"{tag} blocked"))
        graph = kept(PASS, tag)
        graph["prompts"] = node("RecorderStrings", tag=tag, lines=f"{tag} a\n{tag} b")
        graph["text"]["inputs"]["text"] = ["prompts", 0]
        default_server.run(graph)
        (own,) = [one for one in routes.get("sources")[1]["sources"] if one["source"] == "ledger"]
        assert own == {"source": "ledger", "name": "ledger", "kind": "ledger", "pictures": 3, "left": 3}
        default_server.server.post("/history", {"clear": True})  # as after a restart
        told = routes.get("next", source="ledger", count=9)[1]
        rows = {row.prompt: row for row in ledger.rows()}
        shown = {one["prompt"]: one for one in told["pictures"]}
        assert shown.keys() == {tag, f"{tag} a", f"{tag} b"}
        assert ledger.pictures()[rows[tag].id][0].filename == run.images[0]["filename"]
        status, headers, _ = routes.raw(shown[f"{tag} b"]["pictures"][0]["route"])
        assert (status, headers["Content-Type"]) == (200, "image/png")
        mark = {"source": "ledger", "picture": shown[tag]["id"], "quality": "bad", "token": f"{tag}-1"}
        for _ in range(2):
            status, said = routes.mark(mark)
            assert status == 200 and (said["progress"]["bad"], said["progress"]["left"]) == (1, 2)
        assert {row.prompt: row.quality for row in ledger.rows()}[tag] == "bad"
        routes.refused(routes.mark({**mark, "picture": 999, "token": f"{tag}-2"}), 404, "no verdict 999")
        ledger.mark([rows[tag].id], "good")
        assert routes.mark(mark)[0] == 200  # sent again: what came after it stays
        assert {row.prompt: row.quality for row in ledger.rows()}[tag] == "good"
    finally:
        for file in ledger.path.parent.glob("ledger.sqlite3*"):
            file.unlink()
