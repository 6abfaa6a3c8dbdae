"""The batch command against live servers: killed, restarted, cut off and shared, and every row once in the end."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = 12
SETS = ("prompt=Prompt.value", "prompt=Loader.tag", "prompt=Count.tag", "limit=Gate.threshold", "step=Score.at_step")


def node(class_type: str, title: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def workflow() -> dict[str, Any]:
    """The gate on the demo experts, and stand-ins for loader and generation that write down when they are called."""
    settings: dict[str, Any] = {"preset": "fast", "add_noise": "enable", "noise_seed": 0, "steps": 20, "at_step": 0}
    settings |= {"scheduler": "normal", "noise_samples": 1, "tap": "mid_out", "estimator": "relative"}
    gate = {"policy": "raw_threshold", "alpha": 0.05, "threshold": 1, "mode": "decide"}
    return {
        "1": node("PrimitiveStringMultiline", "Prompt", value="x"),
        "2": node("EMoE_DemoExperts", "Demo Experts"),
        "3": node("EMoE_EncodeForExperts", "Encode", experts=["2", 0], text=["1", 0]),
        "4": node("EmptyLatentImage", "Latent", width=128, height=128, batch_size=1),
        "5": node("EMoE_Score", "Score", experts=["2", 0], positive=["3", 0], latent_image=["4", 0], **settings),
        "6": node("EMoE_Gate", "Gate", report=["5", 1], filename_prefix="emoe/verdict", **gate),
        "7": node("RecorderImage", "Loader", tag="x", value=0.5),
        "8": node("EMoE_Route", "Route", passed=["6", 0], on_pass=["7", 0]),
        "9": node("SaveImage", "Save", images=["8", 0], filename_prefix="batch"),
        "10": node("RecorderSink", "Count", tag="x", anything=["11", 0]),
        "11": node("RecorderWait", "Work", anything=["6", 0], seconds=0.25),  # a row lasts, however fast the machine
    }


class Batch:
    """Twelve rows: every third is blocked, the others pass."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.folder, self.out = folder, folder / "out.jsonl"
        self.prompts = [f"{tag} number {n}" for n in range(1, ROWS + 1)]
        (folder / "w.json").write_text(json.dumps(workflow()))
        self.write()

    def blocked(self, prompt: str) -> bool:
        return self.prompts.index(prompt) % 3 == 2

    def write(self, steps: dict[int, int] | None = None) -> None:
        lines = ["Prompt,limit,step,group"]
        for number, prompt in enumerate(self.prompts):
            limit = "-1e12" if self.blocked(prompt) else "1e12"
            lines.append(f'"{prompt}",{limit},{(steps or {}).get(number, "")},"group {number % 2}"')
        (self.folder / "p.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")

    def start(self, servers: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "emoe_core", "batch", "--server", servers, "--out", str(self.out)]
        command += ["--workflow", str(self.folder / "w.json"), "--prompts", str(self.folder / "p.csv")]
        command += [part for text in SETS for part in ("--set", text)]
        return subprocess.Popen([*command, *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, servers: str, *more: str) -> tuple[int, str, str]:
        return self.end(self.start(servers, *more))

    @staticmethod
    def end(process: subprocess.Popen[str], timeout: float = 180) -> tuple[int, str, str]:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return process.returncode, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self.out.exists():
            return []
        return [json.loads(line) for line in self.out.read_text("utf-8").split("\n")[:-1]]

    def wait_for(self, count: int, process: subprocess.Popen[str]) -> None:
        for _ in range(6000):
            if len(self.lines) >= count:
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        pytest.fail(f"{len(self.lines)} rows")

    def check_lines(self) -> None:
        """Every row has one line, with what it must hold."""
        lines = sorted(self.lines, key=lambda line: int(line["row"]))
        assert [line["prompt"] for line in lines] == self.prompts
        for line in lines:
            blocked = self.blocked(line["prompt"])
            assert (line["status"], line["passed"]) == (("blocked", False) if blocked else ("ok", True)), line
            assert line["verdict"] == ("block" if blocked else "pass") and line["score"] > 0 and line["error"] is None
            assert len(line["images"]) == (not blocked) and len(line["files"]) == 1 and line["seconds"] > 0
            assert line["columns"]["group"] == f"group {(line['row'] - 1) % 2}"
        pictures = [(i["server"], i["subfolder"], i["filename"]) for line in lines for i in line["images"]]
        assert len(set(pictures)) == len(pictures) == 8

    def expected_calls(self, prompt: str) -> list[str]:
        return ["RecorderSink"] if self.blocked(prompt) else ["RecorderImage", "RecorderSink"]


@pytest.fixture
def batch(tmp_path: Path, tag: str) -> Batch:
    return Batch(tmp_path, tag)


def test_passed_blocked_and_failed_rows(default_server: Any, batch: Batch) -> None:
    url = default_server.url
    code, out, err = batch.run(url, "--dry-run")
    assert code == 0, (out, err)
    assert f"'Prompt' (node 1) value = '{batch.prompts[0]}'" in out and not batch.out.exists()
    batch.write(steps={1: 20})  # beyond the last step: the Score node raises
    code, out, err = batch.run(url, "--json", "--fail-on-reject")
    assert code == 2, err
    summary = json.loads(out)
    assert [summary[k] for k in ("rows", "done", "passed", "blocked", "failed", "left")] == [12, 12, 7, 4, 1, 0]
    (failed,) = [line for line in batch.lines if line["status"] == "error"]
    assert failed["row"] == 2 and "Uncertainty Score's at_step is 20, beyond the last of 20 steps" in failed["error"]
    assert "12/12, 7 passed, 4 blocked, 1 failed" in err and "rows/min" in err
    batch.write()
    before = batch.out.read_bytes()
    code, out, err = batch.run(url, "--fail-on-reject")  # the mended row is another row: its old line stays
    assert code == 1 and "belong to no row" in err and batch.out.read_bytes().startswith(before)
    assert len(batch.lines) == 13
    for prompt in set(batch.prompts) - {batch.prompts[1]}:
        assert sorted(default_server.called(prompt)) == batch.expected_calls(prompt)
    for line in batch.lines:
        for file in line["files"] + line["images"]:
            assert (Path(default_server.output) / file["subfolder"] / file["filename"]).is_file()
        if line["status"] != "error":
            kept = default_server.server.get(f"/history/{line['prompt_id']}")[line["prompt_id"]]
            assert kept["outputs"]["6"]["emoe"][0]["score"] == line["score"]


@pytest.mark.parametrize("path", sorted((ROOT / "example_workflows" / "api").glob("*.json")), ids=lambda p: p.stem)
def test_the_shipped_workflows_are_found_sound(default_server: Any, tmp_path: Path, path: Path) -> None:
    (tmp_path / "p.txt").write_text("rainbow\n")
    command = [sys.executable, "-m", "emoe_core", "batch", "--server", default_server.url, "--workflow", str(path)]
    done = subprocess.run(
        [*command, "--prompts", str(tmp_path / "p.txt"), "--dry-run", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    assert (done.returncode, said["findings"]) == (0, []) and said["first"]["set"][0]["value"] == "rainbow"


def test_killed_half_way_and_started_again(default_server: Any, batch: Batch) -> None:
    for done in (2, 5, 9):
        process = batch.start(default_server.url, "--in-flight", "2")
        batch.wait_for(done, process)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
        with open(batch.out, "ab") as file:
            file.write(b'{"row": 99, "key": "99-')  # what a kill within a write leaves behind
    code, _, err = batch.run(default_server.url)
    assert code == 0, err
    batch.check_lines()
    calls = {p: sorted(default_server.called(p)) for p in batch.prompts}
    assert calls == {p: batch.expected_calls(p) for p in batch.prompts}
    assert {line["attempts"] for line in batch.lines} <= {1, 2}  # 2: killed after noting a row, before posting it


def test_ctrl_c_lets_running_rows_end_and_the_rest_for_later(default_server: Any, batch: Batch) -> None:
    process = batch.start(default_server.url)
    batch.wait_for(3, process)
    process.send_signal(signal.SIGINT)
    code, _, err = batch.end(process)
    assert code == 130 and "start the same command again" in err and 3 <= len(batch.lines) < ROWS
    assert json.loads(batch.out.with_name("out.jsonl.state").read_text())["flights"] == {}
    code, _, err = batch.run(default_server.url)
    assert code == 0, err
    batch.check_lines()
    assert all(sorted(default_server.called(p)) == batch.expected_calls(p) for p in batch.prompts)


def test_the_server_is_killed_and_started_again(own: Any, batch: Batch) -> None:
    process = batch.start(own.url, "--in-flight", "3", "--json")
    batch.wait_for(random.randint(2, 6), process)
    time.sleep(random.uniform(0, 0.5))
    own.server.kill()
    before = len(batch.lines)
    own.server.again()
    code, out, err = batch.end(process)
    assert code == 0, err
    batch.check_lines()
    requeued = json.loads(out)["requeued"]
    assert before < ROWS and 1 <= requeued <= 3
    calls = {p: Counter(own.called(p)) for p in batch.prompts}
    assert all(calls[p]["RecorderSink"] >= 1 for p in batch.prompts)
    again = sum(calls[p]["RecorderSink"] - 1 for p in batch.prompts)
    assert again <= 1  # the run that the kill interrupted may have come as far as its sink


def test_two_servers_share_the_rows(own: Any, default_server: Any, batch: Batch) -> None:
    code, _, err = batch.run(f"{own.url},{default_server.url}")
    assert code == 0, err
    batch.check_lines()
    shares = Counter(line["server"] for line in batch.lines)
    assert set(shares) == {own.url, default_server.url} and min(shares.values()) >= 2
    assert all(sorted([*own.called(p), *default_server.called(p)]) == batch.expected_calls(p) for p in batch.prompts)


class Wire:
    """A TCP relay before a server that cuts connections: every WebSocket after `life` messages, and of the HTTP answers
    every one in `lose`, when the server has had the request already, so that nobody knows what became of it.
    """

    def __init__(self, port: int, life: int, lose: int) -> None:
        self.target, self.life, self.lose, self.cut, self.lost = port, life, lose, 0, 0
        self._answers = itertools.count(1)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            is_socket, came, asked = False, 0, False
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client:
                        asked, is_socket = True, is_socket or data.startswith(b"GET /ws")
                    if end is server and is_socket:
                        came += 1
                        if came > self.life:
                            self.cut += 1
                            return
                    if end is server and not is_socket and asked:
                        asked = False  # the answer's first part
                        if next(self._answers) % self.lose == 0:
                            self.lost += 1
                            return
                    (server if end is client else client).sendall(data)


def test_sockets_and_answers_are_dropped_again_and_again(default_server: Any, batch: Batch) -> None:
    wire = Wire(int(default_server.url.rsplit(":", 1)[1]), life=4, lose=7)
    try:
        code, _, err = batch.run(wire.url)
    finally:
        wire.close()
    assert code == 0, err
    batch.check_lines()
    assert wire.cut >= 2 and wire.lost >= 2
    assert all(sorted(default_server.called(p)) == batch.expected_calls(p) for p in batch.prompts)
