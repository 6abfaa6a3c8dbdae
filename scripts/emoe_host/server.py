"""A ComfyUI server on the loopback interface: started, waited for, and always stopped."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from . import ROOT, HostError, device_flags
from .prepare import Host

PACK_NAME = "emoe"
MODEL_FOLDERS = ("checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "configs")
_direct = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy in the environment must not be used for the loopback


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Asks Linux to end the server if this process is killed outright, with no chance to stop it itself."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Server:
    """`with Server(host) as server:` gives a running ComfyUI with this pack in it.

    It has its own base folder (custom_nodes, models, input, output, user), which is removed at the end; `models` and
    `output` may be elsewhere and are then kept. `packs` are further custom node folders to mount, by name. EMOE_FRONTEND in
    the environment names the folder of a frontend (with its `index.html`) to use instead of the installed one.
    """

    def __init__(
        self,
        host: Host,
        args: Sequence[str] = (),
        *,
        packs: Mapping[str, Path] | None = None,
        models: Path | None = None,
        output: Path | None = None,
        pack: Path = ROOT,
        timeout: float = 300.0,
    ) -> None:
        self.host = host
        self.args = list(args)
        if (frontend := os.environ.get("EMOE_FRONTEND")) and "--front-end-root" not in self.args:
            self.args += ["--front-end-root", frontend]
        self.base = Path(tempfile.mkdtemp(prefix="emoe-server-"))
        self.output = (output or self.base / "output").resolve()
        self.models = models or self.base / "models"
        self.log = self.base / "server.log"
        self.timeout = timeout
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("custom_nodes", "input", "user"):
            (self.base / name).mkdir()
        self.output.mkdir(parents=True, exist_ok=True)
        if models is not None:
            (self.base / "models").symlink_to(models.resolve(), target_is_directory=True)
        for name in MODEL_FOLDERS:
            (self.models / name).mkdir(parents=True, exist_ok=True)
        for name, folder in {PACK_NAME: pack, **(packs or {})}.items():
            (self.base / "custom_nodes" / name).symlink_to(folder.resolve(), target_is_directory=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- start and stop -------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns when the server answers and this pack's nodes are in it; otherwise raises and leaves nothing running."""
        for attempt in range(3):
            self.port = free_port()
            self._launch()
            try:
                self._wait()
                break
            except HostError:
                self._end_process()
                taken = "address already in use" in self.log_text().lower()
                if attempt == 2 or not taken:  # another program may take the port between the check and the bind
                    raise
            except BaseException:
                self._end_process()
                raise
        self.post("/api/settings", {"Comfy.TutorialCompleted": True})

    def _launch(self) -> None:
        command = [str(self.host.python), str(self.host.comfyui / "main.py"), *device_flags(), "--disable-api-nodes"]
        command += ["--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base), "--output-directory", str(self.output)]
        command += ["--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}", *self.args]
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        env |= {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        with open(self.log, "ab") as sink:
            # A session of its own: Ctrl-C reaches only this process, which then stops the server in order.
            self._process = subprocess.Popen(
                command,
                cwd=self.base,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise HostError(f"ComfyUI ended before it was up (exit {self._process.returncode}); {self._log_tail()}")
            try:
                self.get("/system_stats")
                break
            except (OSError, ValueError):
                pass
            if time.monotonic() > deadline:
                raise HostError(f"ComfyUI did not answer within {self.timeout:.0f} s; {self._log_tail()}")
            time.sleep(0.2)
        mine = [k for k, v in self.object_info().items() if v.get("python_module") == f"custom_nodes.{PACK_NAME}"]
        if not mine:
            raise HostError(f"ComfyUI is up, but this pack's nodes are not in it; {self._log_tail()}")

    def stop(self) -> None:
        """Ends the server and removes its base folder; may be called twice."""
        self._end_process()
        shutil.rmtree(self.base, ignore_errors=True)

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int | None:
        """The server's process; None where none was started."""
        return None if self._process is None else self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Ends it as a crash does: `again` starts it at the same address, with all that it had written."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def again(self) -> None:
        self._launch()
        self._wait()

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- talking to it --------------------------------------------------------------------------------

    def get(self, path: str, timeout: float = 60.0) -> Any:
        with _direct.open(self.url + path, timeout=timeout) as answer:
            return json.load(answer)

    def post(self, path: str, body: object, timeout: float = 60.0) -> bytes:
        request = urllib.request.Request(
            self.url + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
        )
        with _direct.open(request, timeout=timeout) as answer:
            return bytes(answer.read())

    def object_info(self) -> dict[str, Any]:
        return dict(self.get("/object_info", timeout=120))

    # --- its log --------------------------------------------------------------------------------------

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def _log_tail(self, lines: int = 25) -> str:
        """The end of the log, preceded by its lines about this pack, because an import error is one line far above the
        end.
        """
        text = self.log_text().strip().splitlines()
        about = [line for line in text[:-lines] if PACK_NAME in line.lower() and "error" in line.lower()]
        return "its log ends:\n" + "\n".join("    " + line for line in [*about[-5:], *text[-lines:]])


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Turns SIGTERM and SIGHUP into an ordinary exit, so that `with` blocks, and so servers, end in order."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signals = [s for s in ("SIGTERM", "SIGHUP") if hasattr(signal, s)]
    before = {s: signal.signal(getattr(signal, s), leave) for s in signals}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
