"""The card's memory: how much of it was used, and a ballast that makes it smaller than it is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

GB = 1e9
#: NVML's counters of bytes that came over PCIe, where the driver has them (`NVML_FI_DEV_PCIE_COUNT_RX_BYTES`).
RECEIVED = 198


class Card:
    """The first NVIDIA card as its driver sees it; on a machine without one every figure is None."""

    def __init__(self) -> None:
        self.handle: Any = None
        self._lock = threading.Lock()
        self._peak = 0
        self._received, self._last = 0, 0
        with contextlib.suppress(ImportError):
            import pynvml

            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                self.handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        if self.handle is not None:
            threading.Thread(target=self._follow, daemon=True).start()

    def about(self) -> dict[str, Any]:
        """Its name, driver and size."""
        if self.handle is None:
            return {"card": None}
        import pynvml

        return {
            "card": _text(pynvml.nvmlDeviceGetName(self.handle)),
            "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
            "total_bytes": self.total,
        }

    @property
    def total(self) -> int:
        return int(self._memory().total) if self.handle is not None else 0

    def used(self) -> int | None:
        """Bytes in use, by every program."""
        return int(self._memory().used) if self.handle is not None else None

    def received(self) -> int | None:
        """Bytes that came over PCIe since the start, where the driver counts them."""
        return self._received if self._counter() is not None else None

    def _counter(self) -> int | None:
        """The driver's count, which starts again at 0 after 4 GiB."""
        if self.handle is None:
            return None
        import pynvml

        try:
            (found,) = pynvml.nvmlDeviceGetFieldValues(self.handle, [RECEIVED])
        except (pynvml.NVMLError, AttributeError):
            return None
        return int(found.value.ullVal) if found.nvmlReturn == 0 else None

    def restart(self) -> None:
        """Forgets the highest use so far."""
        with self._lock:
            self._peak = 0

    @property
    def peak(self) -> int | None:
        """The highest use since `restart`, looked at every few milliseconds."""
        return self._peak if self.handle is not None else None

    def _memory(self) -> Any:
        import pynvml

        return pynvml.nvmlDeviceGetMemoryInfo(self.handle)

    def _follow(self) -> None:
        self._last = self._counter() or 0
        while True:
            used, counter = int(self._memory().used), self._counter()
            with self._lock:
                self._peak = max(self._peak, used)
                if counter is not None:
                    self._received += (counter - self._last) % 2**32
                    self._last = counter
            time.sleep(0.005)


def _text(found: Any) -> str:
    return found.decode() if isinstance(found, bytes) else str(found)


HOLD = """
import sys, torch
held = torch.empty(int(sys.argv[1]), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def room(card: Card, size: int | None) -> Iterator[int | None]:
    """A card of `size` bytes: another program holds the rest. None, or no card, leaves it as it is."""
    if size is None or card.handle is None:
        yield None
        return
    context = int(0.6 * GB)  # what the holding program takes for itself
    ballast = card.total - size - context
    command = [sys.executable, "-c", HOLD, str(ballast)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdin and holding.stdout
        try:
            if holding.stdout.readline().strip() != b"held":
                raise RuntimeError(f"the ballast of {ballast} bytes could not be taken")
            yield card.total - (card.used() or 0)
        finally:
            holding.stdin.close()
            holding.wait()
