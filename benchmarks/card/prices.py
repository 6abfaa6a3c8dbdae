"""What a score costs on the card: seconds, memory and bytes moved, against the image that it may save.

Every figure comes from a graph that is posted to a real ComfyUI. A row is one graph that ran once: its seconds as a whole and
per node, the card's highest memory, and the bytes that came over PCIe.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoe_host.client import Client
from emoe_host.prepare import Host
from emoe_host.server import Server

from . import graphs
from .graphs import Graph, Sizes
from .watch import GB, Card, room

PRESETS = ("layout", "thorough", "fast", "paper", "one_model")
LIST = 8


@dataclass(frozen=True)
class Setup:
    """A card and how ComfyUI is started on it.

    Attributes:
        memory: bytes of the card, made smaller by a ballast; None for all that it has.
        extra: presets, numbers of experts and lists, instead of the first rows.
        brief: every graph once, with short lists.
    """

    name: str
    flags: tuple[str, ...] = ()
    memory: int | None = None
    extra: bool = False
    brief: bool = False


@dataclass
class Bench:
    """One server, one family: runs graphs and keeps their rows."""

    server: Server
    card: Card
    sizes: Sizes
    rows: list[dict[str, Any]]
    save: Callable[[], None]
    setup: Setup
    family: str
    left: Callable[[], float]
    _number: Iterator[int] = field(default_factory=itertools.count)

    @property
    def list(self) -> int:
        """Prompts of a list."""
        return 2 if self.setup.brief else LIST

    def text(self, count: int = 1) -> str:
        """A prompt that was not there before."""
        return "\n".join(f"a quiet harbour at dusk, number {next(self._number)}" for _ in range(count))

    def run(self, what: str, graph: Graph, times: int = 1, **about: Any) -> None:
        """Runs the graph and keeps the row; an error becomes the row's text, and the rest goes on."""
        for _ in range(1 if self.setup.brief else times):
            if self.left() < 0:
                return
            self.rows.append(self.measured(what, graph, about))
            self.save()
            graph = renewed(graph, self.text)

    def measured(self, what: str, graph: Graph, about: dict[str, Any]) -> dict[str, Any]:
        marks: list[tuple[str, float]] = []

        def on_event(event: str, data: dict[str, Any]) -> None:
            if event == "executing":
                marks.append((str(data.get("node")), time.monotonic()))

        self.card.restart()
        before, started = self.card.received(), time.monotonic()
        row = {"family": self.family, "setup": self.setup.name, "what": what, **about}
        try:
            result = Client(self.server.url, timeout=120).run(graph, on_event=on_event)
        except Exception as error:  # whatever it is, the next row is still wanted
            return row | {"error": f"{type(error).__name__}: {error}"[:300]}
        row["seconds"] = round(time.monotonic() - started, 4)
        spans = zip(marks, marks[1:], strict=False)
        row["nodes"] = {name: round(end - start, 4) for (name, start), (_, end) in spans}
        row["peak_bytes"], after = self.card.peak, self.card.received()
        row["moved_bytes"] = after - before if after is not None and before is not None else None
        if not result.ok:
            row["error"] = (result.error_line or "no success")[:300]
        return row

    def free(self) -> int | None:
        """ComfyUI gives back the models and what it kept of earlier graphs; returns the card's use afterwards."""
        self.server.post("/free", {"unload_models": True, "free_memory": True})
        used = None
        for _ in range(20):
            time.sleep(0.2)
            before, used = used, self.card.used()
            if before is not None and used == before:
                break
        return used


def renewed(graph: Graph, text: Callable[[int], str]) -> Graph:
    """The same graph for another prompt and seed, so that nothing comes from ComfyUI's cache but the models."""
    made = {name: {**one, "inputs": dict(one["inputs"])} for name, one in graph.items()}
    prompts = made["list"]["inputs"]["prompts"].count("\n") + 1 if "list" in made else 1
    words = text(prompts)
    for name, key in (("words", "text"), ("encode", "text"), ("list", "prompts")):
        if name in made and isinstance(made[name]["inputs"].get(key), str):
            made[name]["inputs"][key] = words
    if "draw" in made:
        made["draw"]["inputs"]["seed"] += 1
    return made


def measure(
    host: Host,
    card: Card,
    plan: Sequence[tuple[Setup, str, Sizes]],
    models: Path,
    rows: list[dict[str, Any]],
    save: Callable[[], None],
    left: Callable[[], float],
    logs: Path,
) -> dict[str, Any]:
    """The rows of setups and families that share ComfyUI's flags, on one server; returns what was seen of the server."""
    flags = plan[0][0].flags
    about: dict[str, Any] = {"flags": list(flags), "comfyui": host.version, "used_after_free": {}, "left_out": []}
    server = Server(host, flags, models=models)
    started = time.monotonic()
    try:
        server.start()
        about["start_seconds"], about["used_at_start"] = round(time.monotonic() - started, 2), card.used()
        for setup, family, sizes in plan:
            what = f"{family}, {setup.name}"
            if left() < 20:
                about["left_out"].append(what)
                continue
            with room(card, setup.memory):
                bench = Bench(server, card, sizes, rows, save, setup, family, left)
                (_extra_rows if setup.extra else _first_rows)(bench)
                about["used_after_free"][what] = bench.free()
    except Exception as error:
        about["error"] = f"{type(error).__name__}: {error}"[:2000]
    finally:
        log = server.log_text()
        (logs / f"server{'-'.join(flags)}.log").write_text(log, encoding="utf-8")
        about["paged"] = "DynamicVRAM support detected and enabled" in log
        server.stop()
    return about


def _first_rows(bench: Bench) -> None:
    """An image, scores and gated images with the two presets that matter most."""
    sizes, most = bench.sizes, min(4, len(bench.sizes.files))
    bench.run("image", graphs.image(sizes, bench.text(), 1), 3, steps=sizes.steps)
    bench.free()
    for preset in ("layout", "fast"):
        about = {"experts": most, "preset": preset}
        bench.run("score, cold", graphs.score(sizes, bench.text(), most, preset), **about)
        bench.run("score", graphs.score(sizes, bench.text(), most, preset), 3, **about)
        bench.run("gated image", graphs.gated(sizes, bench.text(), most, preset, 5), 2, **about)
        bench.free()


def _extra_rows(bench: Bench) -> None:
    """Everything else: presets, numbers of experts, lists, an interrupt."""
    sizes, most = bench.sizes, min(4, len(bench.sizes.files))
    bench.run("image", graphs.image(sizes, bench.text(), 1, 20), 2, steps=20)
    for preset in PRESETS[:1] if bench.setup.brief else PRESETS:
        bench.run("score", graphs.score(sizes, bench.text(), most, preset), 3, experts=most, preset=preset)
    for preset in ("layout", "fast"):
        about = {"experts": most, "preset": preset, "list": bench.list}
        bench.run("list", graphs.score(sizes, bench.text(bench.list), most, preset), 2, **about)
    for experts in (2, 3, 6, 8):
        if experts <= len(sizes.files):
            for preset in ("layout", "fast"):
                bench.run(
                    "score", graphs.score(sizes, bench.text(), experts, preset), 3, experts=experts, preset=preset
                )
    interrupted(bench, most)


def interrupted(bench: Bench, experts: int) -> None:
    """A list is interrupted at its first progress; afterwards a prompt is scored as before."""
    if bench.left() < 0:
        return
    stopped: list[float] = []

    def on_event(event: str, data: dict[str, Any]) -> None:
        if event == "progress" and not stopped:
            stopped.append(time.monotonic())
            bench.server.post("/interrupt", {})

    graph = graphs.score(bench.sizes, bench.text(2 * bench.list), experts, "layout")
    result = Client(bench.server.url, timeout=120).run(graph, on_event=on_event)
    row = {"family": bench.family, "setup": bench.setup.name, "what": "interrupt", "ended": result.status}
    bench.rows.append(row | {"seconds": round(time.monotonic() - stopped[0], 4) if stopped else None})
    bench.run(
        "score after an interrupt", graphs.score(bench.sizes, bench.text(), experts, "layout"), 2, experts=experts
    )


def setups(card: Card, unet: int) -> list[Setup]:
    """The setups of a family, the most wanted first.

    Args:
        unet: bytes of one expert's U-Net.
    """
    twelve = int(12 * GB)
    return [
        Setup("whole card"),
        Setup("12 GB", memory=twelve),
        Setup("whole card", extra=True),
        Setup("one expert fits", memory=int(unet + 3.5 * GB)),
        Setup("12 GB, estimates", ("--disable-dynamic-vram",), twelve),
        Setup("novram", ("--novram",)),
        Setup("lowvram, 12 GB", ("--lowvram", "--disable-dynamic-vram"), twelve),
        Setup("reserved to 12 GB", ("--reserve-vram", f"{max(card.total - twelve, 0) / 2**30:.1f}")),
    ]


def by_flags(plan: Iterable[tuple[Setup, str, Sizes]]) -> list[list[tuple[Setup, str, Sizes]]]:
    """The plan in groups that one server can serve, in the order of their first member."""
    groups: dict[tuple[str, ...], list[tuple[Setup, str, Sizes]]] = {}
    for one in plan:
        groups.setdefault(one[0].flags, []).append(one)
    return list(groups.values())


def median(rows: Iterable[dict[str, Any]]) -> float | None:
    """The median of seconds over rows without an error; of several runs the first is left out, since it warms up."""
    found = [row["seconds"] for row in rows if "error" not in row and row["seconds"] is not None]
    return statistics.median(found[1:] or found) if found else None
