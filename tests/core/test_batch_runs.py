"""The batch command against a stand-in for ComfyUI that fails in every way the real one can, and faster."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emoe_core.__main__ import main
from emoe_core.io.console import Console, Totals, duration

ROOT = Path(__file__).resolve().parents[2]

GRAPH = {
    "1": {"class_type": "Text", "inputs": {"value": "x"}, "_meta": {"title": "Prompt"}},
    "2": {"class_type": "EMoE_Gate", "inputs": {"text": ["1", 0], "seed": 0}, "_meta": {"title": "Gate"}},
}
INFO = {
    "Text": {"input": {"required": {"value": ["STRING", {}]}}, "output": ["STRING"]},
    "EMoE_Gate": {"input": {"required": {"text": ["STRING"], "seed": ["INT"]}}, "output": [], "output_node": True},
}


class Fake:
    """ComfyUI's routes, a row run when it is looked at. Its own thread, so that the command runs as it does for users."""

    def __init__(self) -> None:
        self.ran: list[str] = []  # prompts whose run ended, in order
        self.posts: list[dict[str, Any]] = []
        self.queue: dict[str, list[Any]] = {}
        self.history: dict[str, Any] = {}
        self.most = 0  # prompts here at once
        self.looks = 3  # times /queue is asked before a prompt ends
        self.info: dict[str, Any] = INFO
        self.own_ids = False  # as servers did before they took the client's
        self.on_post: Callable[[Fake, list[Any]], web.Response | None] | None = None
        self.on_queue: Callable[[Fake], web.Response | None] | None = None
        self.sockets = 0
        self.cut_sockets = False
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = 0

    def __enter__(self) -> Fake:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/object_info", self._info)
        app.router.add_post("/prompt", self._post)
        app.router.add_get("/queue", self._queue)
        app.router.add_get("/history", self._all_history)
        app.router.add_get("/history/{id}", self._history)
        app.router.add_get("/ws", self._socket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.info)

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posts.append(body)
        chosen = f"own-{len(self.posts)}" if self.own_ids else body["prompt_id"]
        item = [len(self.posts), chosen, body["prompt"], {**body["extra_data"], "client_id": body["client_id"]}, ["2"]]
        if self.on_post is not None and (answer := self.on_post(self, item)) is not None:
            return answer
        self.put(item)
        return web.json_response({"prompt_id": item[1], "number": item[0], "node_errors": {}})

    def put(self, item: list[Any], looks: int | None = None) -> None:
        self.queue[item[1]] = [*item, self.looks if looks is None else looks]
        self.most = max(self.most, len(self.queue))

    async def _queue(self, request: web.Request) -> web.Response:
        if self.on_queue is not None and (answer := self.on_queue(self)) is not None:
            return answer
        for name in list(self.queue):
            self.queue[name][-1] -= 1
            if self.queue[name][-1] < 0:
                self.finish(self.queue.pop(name)[:5])
        return web.json_response({"queue_running": [i[:5] for i in self.queue.values()], "queue_pending": []})

    def finish(self, item: list[Any]) -> None:
        text = item[2]["1"]["inputs"]["value"]
        self.ran.append(text)
        passed = "bad" not in text
        said = {"verdict": "pass" if passed else "block", "passed": passed, "score": 0.5, "reason": "so"}
        image = {"images": [{"filename": f"{text}.png", "subfolder": "", "type": "output"}]} if passed else {}
        self.history[item[1]] = {
            "prompt": item,
            "outputs": {"2": {"emoe": [said], **image}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }

    def lose_all(self) -> None:
        """As a restart does."""
        self.queue.clear()
        self.history.clear()

    async def _history(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return web.json_response({name: self.history[name]} if name in self.history else {})

    async def _all_history(self, _: web.Request) -> web.Response:
        return web.json_response(self.history)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self.sockets += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while not self.cut_sockets and not socket.closed:
            await socket.send_json({"type": "status", "data": {}})
            await asyncio.sleep(0.02)
        await socket.close()
        return socket


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        yield server


@pytest.fixture
def second() -> Iterator[Fake]:
    with Fake() as server:
        yield server


class Batch:
    """A folder with a workflow and prompts, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out.jsonl"
        (folder / "w.json").write_text(json.dumps(GRAPH))
        self.prompts = folder / "p.txt"

    def rows(self, count: int) -> list[str]:
        names = [f"bad {n}" if n % 4 == 0 else f"good {n}" for n in range(1, count + 1)]
        self.prompts.write_text("\n".join(names))
        return names

    def command(self, servers: str, *more: str) -> list[str]:
        given = ["--server", servers, "--workflow", str(self.folder / "w.json"), "--out", str(self.out)]
        return [sys.executable, "-m", "emoe_core", "batch", *given, "--prompts", str(self.prompts), *more]

    def run(self, servers: str, *more: str) -> int:
        return main(self.command(servers, *more)[3:])

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "out.jsonl.state").read_text())["flights"])

    def all_once(self, names: list[str]) -> bool:
        return sorted(line["prompt"] for line in self.lines) == sorted(names)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


def test_every_row_has_its_line(fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    names = batch.rows(9)
    assert batch.run(fake.url, "--json") == 0
    assert fake.ran == names and batch.all_once(names) and fake.most == 1 and batch.state == {}
    assert Counter(line["status"] for line in batch.lines) == {"ok": 7, "blocked": 2}
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert (summary["done"], summary["passed"], summary["blocked"], summary["failed"]) == (9, 7, 2, 0)
    assert "9/9, 7 passed, 2 blocked, 0 failed" in said.err and "\r" not in said.err
    for post in fake.posts:
        assert post["client_id"] and post["prompt_id"] == post["extra_data"]["emoe_batch"]["token"]
    assert batch.run(fake.url, "--fail-on-reject") == 1 and len(fake.posts) == 9


def test_a_row_on_a_server_is_found_again_and_not_posted_twice(fake: Fake, batch: Batch) -> None:
    """The command died while the server had rows: running, done, or just lost with its queue."""
    names = batch.rows(3)
    fake.looks = 10**9

    fake.on_queue = lambda server: web.Response(status=500) if server.posts else None
    assert batch.run(fake.url, "--give-up", "0.5", "--in-flight", "3") == 2
    assert len(batch.state) == 3 and batch.lines == []
    fake.on_queue = None
    running, done, lost = list(fake.queue)
    fake.queue[running][-1] = 3
    fake.finish(fake.queue.pop(done)[:5])
    fake.queue.pop(lost)
    fake.looks = 1
    assert batch.run(fake.url) == 0
    assert sorted(fake.ran) == sorted(names) and batch.all_once(names) and len(fake.posts) == 4
    assert sorted(line["attempts"] for line in batch.lines) == [1, 1, 2]


@pytest.mark.parametrize("own_ids", [False, True], ids=["our ids", "the server's ids"])
def test_an_answer_that_never_came_is_no_second_run(fake: Fake, batch: Batch, own_ids: bool) -> None:
    names = batch.rows(4)
    fake.own_ids = own_ids

    def swallow(server: Fake, item: list[Any]) -> web.Response | None:
        if len(server.posts) == 2:
            server.put(item)
        return web.Response(status=504) if len(server.posts) == 2 else None

    fake.on_post = swallow
    assert batch.run(fake.url) == 0
    assert fake.ran == names and batch.all_once(names) and len(fake.posts) == 4
    assert {line["prompt_id"] for line in batch.lines} == set(fake.history)


def test_a_row_that_was_over_before_the_answer_is_found_in_the_history(fake: Fake, batch: Batch) -> None:
    names = batch.rows(2)
    fake.own_ids = True

    def swallow(server: Fake, item: list[Any]) -> web.Response:
        server.finish(item)
        return web.Response(status=503)

    fake.on_post = swallow
    assert batch.run(fake.url) == 0 and fake.ran == names and batch.all_once(names)


def test_a_server_that_forgets_gets_its_rows_again(
    fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = batch.rows(8)

    def forget(server: Fake) -> None:
        if len(server.posts) in (3, 6):
            server.posts.append({})
            server.lose_all()

    fake.on_queue = forget
    assert batch.run(fake.url, "--in-flight", "2", "--json") == 0
    assert batch.all_once(names) and set(fake.ran) == set(names)
    assert json.loads(capsys.readouterr().out)["requeued"] >= 2
    assert max(line["attempts"] for line in batch.lines) >= 2


def test_an_error_answer_is_never_read_as_lost(fake: Fake, batch: Batch) -> None:
    names = batch.rows(2)
    left = [12]

    def fail(server: Fake) -> web.Response | None:
        left[0] -= 1
        if left[0] % 5 and left[0] > 0 and server.posts:
            return web.json_response({}, status=500) if left[0] % 2 else web.Response(text="<html>")
        return None

    fake.on_queue = fail
    assert batch.run(fake.url) == 0
    assert fake.ran == names and batch.all_once(names) and len(fake.posts) == 2


def test_a_row_that_servers_keep_losing_ends_as_an_error(fake: Fake, batch: Batch) -> None:
    batch.rows(3)
    fake.on_post = lambda server, item: (
        web.json_response({"prompt_id": item[1]}) if item[2]["1"]["inputs"]["value"] == "good 2" else None
    )
    assert batch.run(fake.url, "--attempts", "2") == 2
    (line,) = [line for line in batch.lines if line["status"] == "error"]
    assert line["prompt"] == "good 2" and line["attempts"] == 2 and "lost this row 2 times" in line["error"]
    assert len(batch.lines) == 3
    fake.on_post = None
    assert batch.run(fake.url, "--retry-errors") == 0 and len(batch.lines) == 3


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.json_response({"error": "x"}, status=500),
        lambda: web.Response(text="<html>at rest</html>", content_type="text/html"),
        lambda: web.Response(text="<html>no</html>", content_type="text/html", status=404),
        lambda: web.Response(text="[" * 100_000),
        lambda: web.json_response([1]),
    ],
    ids=["500", "page", "404 page", "deep", "list"],
)
def test_what_comfyui_does_not_say_to_a_post_is_a_server_that_is_away(
    fake: Fake, batch: Batch, answer: Callable[[], web.Response]
) -> None:
    names = batch.rows(2)
    fake.on_post = lambda server, item: answer() if len(server.posts) == 1 else None
    assert batch.run(fake.url) == 0
    assert batch.all_once(names) and len(fake.posts) == 3 and fake.ran == names


@pytest.mark.parametrize(
    "refusal",
    [
        {"error": 5, "node_errors": 5},
        {"error": {"message": {"a": 1}}, "node_errors": {"2": {"errors": 5}}},
        {"node_errors": {"2": 5, "77": {"errors": [5, {"message": ["x"], "details": "a\ud800\x1b"}]}}},
        {"error": "x" * 100_000},
    ],
)
def test_odd_refusals_are_one_sentence(fake: Fake, batch: Batch, refusal: dict[str, Any]) -> None:
    batch.rows(1)
    fake.on_post = lambda server, item: web.json_response(refusal, status=400)
    assert batch.run(fake.url) == 2
    (line,) = batch.lines
    assert line["error"].startswith("The server refused the row (400): ") and len(line["error"]) < 3000
    assert not {"\n", "\x1b", "\ud800"} & set(line["error"])


def test_a_refused_row_is_an_error_and_the_others_go_on(fake: Fake, batch: Batch) -> None:
    batch.rows(3)
    refusal = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {"2": {"errors": [{"message": "Value not in list", "details": "seed:\n x"}]}},
    }

    def refuse(server: Fake, item: list[Any]) -> web.Response | None:
        if len(server.posts) == 1:
            return web.json_response(refusal, status=400)
        if len(server.posts) == 2:
            server.put(item)
            return web.json_response({"prompt_id": item[1], "node_errors": refusal["node_errors"]})
        return None

    fake.on_post = refuse
    assert batch.run(fake.url) == 2
    first, partly, last = batch.lines
    assert first["error"] == ("The server refused the row (400): 'Gate' (node 2): Value not in list (seed: x)")
    assert partly["status"] == "error" and "does not run all of it" in partly["error"] and partly["verdict"] == "pass"
    assert last["status"] == "ok"


def test_a_server_that_stays_away_leaves_its_rows_to_the_other(fake: Fake, second: Fake, batch: Batch) -> None:
    names = batch.rows(6)
    fake.looks = 10**9
    fake.on_queue = lambda server: web.Response(status=502) if server.posts else None
    assert batch.run(f"{fake.url},{second.url}", "--give-up", "1") == 0
    assert batch.all_once(names) and {line["server"] for line in batch.lines} == {second.url}


def test_the_last_server_that_stays_away_keeps_its_row_for_a_later_run(
    fake: Fake, second: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a later run on another server still asks the first for what it had."""
    names = batch.rows(3)
    fake.looks = 10**9
    fake.on_queue = lambda server: web.Response(status=502) if server.posts else None
    assert batch.run(fake.url, "--give-up", "0.5") == 2
    assert "3 rows are left" in capsys.readouterr().err and [f["server"] for f in batch.state.values()] == [fake.url]
    fake.on_queue, fake.queue[next(iter(fake.queue))][-1] = None, 1
    assert batch.run(second.url) == 0
    assert batch.all_once(names) and fake.ran == names[:1] and second.ran == names[1:]


def test_servers_share_the_rows_and_keep_to_their_number(fake: Fake, second: Fake, batch: Batch) -> None:
    names = batch.rows(24)
    assert batch.run(f"{fake.url}, {second.url}/", "--in-flight", "3") == 0
    assert batch.all_once(names) and sorted(fake.ran + second.ran) == sorted(names)
    assert min(len(fake.ran), len(second.ran)) >= 6 and fake.most == second.most == 3


def test_without_a_socket_the_queue_is_polled(fake: Fake, batch: Batch) -> None:
    names = batch.rows(2)
    fake.cut_sockets, fake.looks = True, 1
    assert batch.run(fake.url) == 0 and fake.ran == names and fake.sockets >= 2


def test_columns_fill_what_set_says(fake: Fake, batch: Batch) -> None:
    batch.prompts = batch.folder / "p.csv"
    batch.prompts.write_text("caption,seed,lang\na,5,en\nb,,de\nc,1.5,fr\n")
    assert batch.run(fake.url, "--set", "seed=Gate.seed") == 2 and not fake.posts  # the check reads every row
    assert batch.run(fake.url, "--set", "seed=Gate.seed", "--no-check") == 2
    assert [post["prompt"]["2"]["inputs"]["seed"] for post in fake.posts] == [5, 0]
    wrong = next(line for line in batch.lines if line["status"] == "error")
    assert "'1.5' in column 'seed' is not a whole number" in wrong["error"] and wrong["attempts"] == 0
    assert batch.lines[0]["columns"] == {"seed": "5", "lang": "en"}


def test_bad_rows_make_the_end_2_and_the_good_ones_are_done(
    fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.prompts = batch.folder / "p.csv"
    batch.prompts.write_text("prompt,n\na,1\n,2\nb,3\n")
    assert batch.run(fake.url, "--json") == 2 and fake.ran == ["a", "b"]
    said = capsys.readouterr()
    assert json.loads(said.out)["bad_rows"] == [{"row": 2, "line": 3, "reason": "the prompt is empty"}]
    assert "line 3: the prompt is empty; the row is left out" in said.err
    batch.prompts.write_text("prompt,n\na,1\nmended,2\nb,3\n")
    assert batch.run(fake.url) == 0 and fake.ran == ["a", "b", "mended"]


def test_a_dry_run_shows_the_first_row_and_queues_nothing(
    fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.rows(2)
    assert batch.run(fake.url, "--dry-run") == 0
    assert "'Prompt' (node 1) value = 'good 1'" in capsys.readouterr().out
    assert batch.run(fake.url, "--dry-run", "--set", "seed=Gate.seed") == 2
    assert "no column 'seed'" in capsys.readouterr().out
    batch.prompts.write_text("one\n")
    (batch.folder / "w.json").write_text(json.dumps(GRAPH | {"3": {"class_type": "Gone", "inputs": {}}}))
    assert batch.run(fake.url, "--dry-run", "--json") == 2
    said = json.loads(capsys.readouterr().out)
    assert "no node class 'Gone'" in said["findings"][0] and said["first"]["set"][0]["value"] == "one"
    assert batch.run(fake.url) == 2 and "'Gone'" in capsys.readouterr().err
    assert not fake.posts and not batch.out.exists()


def test_a_dry_run_looks_at_every_server(
    fake: Fake, second: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.rows(2)
    both = f"{fake.url},{second.url}"
    assert batch.run(both, "--dry-run") == 0
    second.info = {"Text": INFO["Text"]}
    capsys.readouterr()
    assert batch.run(both, "--dry-run", "--json") == 2
    (missing, *_) = json.loads(capsys.readouterr().out)["findings"]
    assert missing.startswith(f"{second.url}: The server has no node class 'EMoE_Gate'")
    assert batch.run(f"{fake.url},http://127.0.0.1:9", "--dry-run", "--json") == 2
    assert json.loads(capsys.readouterr().out)["findings"] == [
        "http://127.0.0.1:9 does not answer; start it or leave it out."
    ]
    assert not fake.posts and not second.posts


def test_another_workflow_does_not_go_on_in_old_results(
    fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.rows(1)
    assert batch.run(fake.url) == 0
    changed = json.loads(json.dumps(GRAPH))
    changed["2"]["inputs"]["seed"] = 9
    (batch.folder / "w.json").write_text(json.dumps(changed))
    assert batch.run(fake.url) == 2 and "another workflow" in capsys.readouterr().err and len(fake.posts) == 1


def test_an_old_console_shows_what_it_can(fake: Fake, batch: Batch) -> None:
    batch.prompts.write_text("馬 🐴\n", encoding="utf-8")
    done = subprocess.run(
        batch.command(fake.url, "--dry-run"),
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert b"value = '? ?'" in done.stdout


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_waits_once_and_never_twice(fake: Fake, batch: Batch, times: int) -> None:
    batch.rows(3)
    fake.looks = 10**9
    process = subprocess.Popen(batch.command(fake.url), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        deadline = time.monotonic() + 30
        while not fake.queue and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        while "Stopping" not in process.stderr.readline():
            assert process.poll() is None
        if times == 1:
            fake.queue[next(iter(fake.queue))][-1] = 1
        else:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
    assert len(fake.posts) == 1
    assert len(batch.lines) == 2 - times and len(batch.state) == times - 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_progress_renews_itself_and_notes_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    console = Console()
    console.begin(2, Totals(ok=1))
    console.note("a note")
    console.ended({"status": "blocked", "server": "http://a"})
    console.finish()
    shown = screen.getvalue()
    assert "\ra note\n" in shown and shown.endswith("\n") and shown.count("\n") == 2
    last = shown.rstrip("\n").rsplit("\r", 1)[-1]
    assert last.startswith("2/2, 1 passed, 1 blocked, 0 failed")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (5400, "1 h 30 min"), (90000, "25 h 00 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    "address", ["http://", "ftp://127.0.0.1", "http://[", "what is this", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none_is_one_clear_error(
    batch: Batch, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.rows(1)
    assert batch.run(address, "--give-up", "0") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ") and "\n" not in said


def test_another_web_server_is_no_comfyui(fake: Fake, batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    batch.rows(1)
    assert batch.run(f"{fake.url}/elsewhere") == 2
    assert "answers 404 to /object_info" in capsys.readouterr().err
