"""The client's account of what ran, held against nodes that write down when they are really called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from emoe_host import HostError
from emoe_host.client import Graph, GraphRefused
from emoe_host.prepare import Host
from emoe_host.server import Server


def chain(tag: str, block: bool, message: str = "") -> Graph:
    """image -> (block) -> SaveImage, and beside it image -> sink."""
    return {
        "image": {"class_type": "RecorderImage", "inputs": {"tag": tag, "value": 0.5}},
        "gate": {
            "class_type": "RecorderBlock",
            "inputs": {"tag": tag, "anything": ["image", 0], "block": block, "message": message},
        },
        "sink": {"class_type": "RecorderSink", "inputs": {"tag": tag, "anything": ["gate", 0]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["gate", 0], "filename_prefix": tag}},
        "beside": {"class_type": "RecorderSink", "inputs": {"tag": tag, "anything": ["image", 0]}},
    }


def test_everything_runs_when_nothing_is_blocked(server, tag: str) -> None:
    result = server.run(chain(tag, block=False))
    assert result.ok and sorted(result.nodes_run) == ["beside", "gate", "image", "save", "sink"]
    assert sorted(server.called(tag)) == ["RecorderBlock", "RecorderImage", "RecorderSink", "RecorderSink"]
    assert [path.is_file() for path in result.image_paths(server.output)] == [True]


def test_a_silent_block_is_seen_on_output_nodes(server, tag: str) -> None:
    result = server.run(chain(tag, block=True))
    assert result.ok and result.images == []
    assert result.was_announced("save") and not result.did_run("save") and not result.did_run("sink")
    assert result.did_run("beside")
    assert sorted(server.called(tag)) == ["RecorderBlock", "RecorderImage", "RecorderSink"]


def test_a_block_with_a_message_is_an_error_and_no_run(server, tag: str) -> None:
    result = server.run(chain(tag, block=True, message="not this one"))
    assert result.error == "Execution Blocked: not this one"
    assert not result.did_run("sink") and result.did_run("beside")


def test_a_node_that_raises_is_reported_and_ran(server, tag: str) -> None:
    graph = chain(tag, block=False)
    graph["fail"] = {"class_type": "RecorderFail", "inputs": {"tag": tag, "anything": ["image", 0]}}
    graph["sink"]["inputs"]["anything"] = ["fail", 0]
    result = server.run(graph)
    assert result.status == "error" and result.error == f"failed as asked: {tag}"
    assert result.did_run("fail") and not result.did_run("sink")


def test_a_second_run_comes_from_the_cache(default_server, tag: str) -> None:
    default_server.run(chain(tag, block=False))
    called = default_server.called(tag)
    again = default_server.run(chain(tag, block=False))
    assert again.ok and again.nodes_run == [] and set(again.cached) == set(chain(tag, False))
    assert default_server.called(tag) == called


def test_a_client_without_a_socket_sees_the_same_end(default_server, tag: str) -> None:
    result = default_server.run(chain(tag, block=False), follow=False)
    assert result.ok and len(result.images) == 1


def test_a_graph_that_cannot_run_is_refused_by_name(default_server, tag: str) -> None:
    graph = chain(tag, block=False)
    del graph["save"]["inputs"]["images"]
    with pytest.raises(GraphRefused, match=r"node save \(SaveImage\): .*images"):
        default_server.run(graph)


def test_a_pack_that_does_not_load_is_said_with_the_reason(host: Host, tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("raise ImportError('broken on purpose, an emoe error')\n")
    server = Server(host, pack=tmp_path)
    with pytest.raises(HostError, match="pack's nodes are not in it") as caught, server:
        pass
    assert "broken on purpose" in str(caught.value)
    assert not server.alive() and not server.base.exists()


def test_a_comfyui_that_does_not_start_is_said_with_its_log(host: Host) -> None:
    server = Server(host, ["--no-such-option"])
    with pytest.raises(HostError, match="ended before it was up") as caught, server:
        pass
    assert "--no-such-option" in str(caught.value) and not server.base.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_stops_the_server_too(host: Host, tmp_path: Path, number: int) -> None:
    """A stand-in for ComfyUI answers what `start` asks, so that this takes no ten seconds."""
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """
            import http.server, json, sys
            class Handler(http.server.BaseHTTPRequestHandler):
                def reply(self):
                    self.send_response(200); self.end_headers()
                    self.wfile.write(json.dumps({"N": {"python_module": "custom_nodes.emoe"}}).encode())
                do_GET = do_POST = reply
            port = int(sys.argv[sys.argv.index("--port") + 1])
            http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
            """
        )
    )
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from emoe_host.prepare import Host
        from emoe_host.server import Server, stopped_by_sigterm
        host = Host(Path(sys.argv[1]), Path(sys.executable), "0", "test")
        with stopped_by_sigterm(), Server(host) as server:
            print(server.pid, server.base, flush=True)
            signal.pause()
        """
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "scripts")}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, base = process.stdout.readline().split()
    process.send_signal(number)
    assert process.wait(30) != 0
    assert number == signal.SIGKILL or not Path(base).exists()
    with pytest.raises(ProcessLookupError):
        for _ in range(200):
            os.kill(int(pid), 0)
            time.sleep(0.1)
