"""Graphs that are made to do harm, from the nodes' own schemas: a new node or input is among them by itself.

Each starts from a graph in which nothing is wrong and spoils some of it, so that many get past ComfyUI's own checks and are
executed. What fails there is then the pack's to say.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .graphs import Graph, node

SURROGATE = "\ud800"

#: Short enough for any input.
TEXTS = (
    *(
        SURROGATE,
        f"embedding:{SURROGATE}",
        f"a{SURROGATE}b",
        "\udfff\ud800",
        "\0",
        "a\0b",
        "\x1b[2J\x1b]0;x\x07",
        "\u202egpj",
    ),
    *(
        "embedding:../../../etc/passwd",
        "embedding:/dev/zero",
        "embedding:",
        "(horse:1e30)",
        "(horse:nan)",
        "(" * 900,
        "(a:-1" * 90,
    ),
    *(
        "/etc/passwd",
        "../../../../etc/passwd",
        "~/.bashrc",
        "~nosuch/x.csv",
        "..\\..\\x",
        "C:\\Windows\\win.ini",
        "//host/share",
    ),
    *(
        "file:///etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "/dev/stdin",
        ".",
        "..",
        "/",
        "CON",
        "way_out",
        "way_out.csv",
    ),
    *(
        "x/../way_out.csv",
        "x\\way_out",
        "spoilt.csv",
        "[input]/way_out.csv",
        "way_out.csv [output]",
        "x" * 300,
        "\u6f22" * 100,
    ),
    *(
        "",
        " ",
        "\n",
        "\r",
        "\u2028",
        "\ufeff",
        "%s%n%d",
        "{0.__class__}",
        "{horse|{tiger",
        "${env:HOME}",
        "$(id)",
        "`id`",
        "-rf",
    ),
    *(
        "'; DROP TABLE prompts; --",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "null",
        "None",
        "NaN",
        "Infinity",
        "1e400",
    ),
    *(
        "9" * 400,
        "\uff19",
        "[" * 400,
        '{"a":' * 90,
        "a," * 500,
        "\n".join("!#"),
        "ja=",
        "=ja",
        "language=" + SURROGATE,
        "%date:yyyy%",
    ),
)
#: For inputs of one line: a prompt of this length is no more than a long wait.
HUGE = ("x" * 2_000_000, "\u6f22" * 300_000, "../" * 100_000, SURROGATE * 50_000, "\0" * 100_000)
NUMBERS = (
    *(
        10**400,
        -(10**400),
        2**63,
        2**64,
        -1,
        0,
        1,
        0.5,
        1e308,
        -1e308,
        5e-324,
        float("nan"),
        float("inf"),
        float("-inf"),
    ),
    *("0x10", "1_000", "\uff19", "7", "nan", "1e400", "", True, False, None),
)


def nested(depth: int, of: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = of(value)
    return value


def structures() -> list[Any]:
    """What JSON can hold where a name or a number belongs."""
    return [
        *(None, True, [], {}, [1], ["a", "b", "c"], {"a": 1}, {"__value__": ["a", "b"]}, {"__value__": None}),
        *(
            {"__value__": {"__value__": SURROGATE}},
            {"__type__": "x"},
            {SURROGATE: SURROGATE},
            {"__value__": nested(90)},
        ),
        *(nested(90), nested(400), nested(300, lambda inner: {"a": inner}), list(range(5000)), [TEXTS[0]] * 3),
    ]


def links(known: list[str]) -> list[Any]:
    """Links to nothing, and links to what does not fit."""
    some = known[0]
    return [
        *(
            ["nosuch", 0],
            ["", 0],
            [SURROGATE, 0],
            ["\0", 0],
            [None, 0],
            [[], 0],
            [{}, 0],
            [0, 0],
            [some, "0"],
            [some, None],
        ),
        *(
            [some, 99],
            [some, -1],
            [some, -99],
            [some, 0.5],
            [some, 10**30],
            [some, [0]],
            [some],
            [some, 0, 0],
            [some, True],
        ),
        *([one, slot] for one in known for slot in (0, 1)),
    ]


@dataclass(frozen=True)
class Input:
    name: str
    kind: str  # COMBO for every list
    options: dict[str, Any]
    required: bool

    @property
    def linked(self) -> bool:
        return self.kind not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") or bool(self.options.get("forceInput"))

    @property
    def choices(self) -> list[Any]:
        # A built-in set holds thousands of prompts: a long wait, and no more.
        return [one for one in self.options.get("options") or [] if not str(one).startswith("built-in set")]

    def plain(self) -> Any:
        """A value in which nothing is wrong."""
        if self.kind == "STRING" and self.options.get("multiline"):
            return "horse\nrainbow\ntiger\nbell"  # one for each of the demo's experts
        if self.kind == "COMBO":
            return self.options.get("default") or self.choices[0]
        return self.options["default"]

    def odd(self, chance: random.Random) -> Any:
        """A value that ComfyUI's own checks let through."""
        if self.kind == "STRING":
            return chance.choice(TEXTS if self.options.get("multiline") else (*TEXTS, *HUGE))
        if self.kind == "BOOLEAN":
            return chance.choice((None, "no", [], {}, SURROGATE, float("nan"), 10**400))
        if self.kind == "FLOAT":
            ends = [self.options[end] for end in ("min", "max") if end in self.options]
            return chance.choice((float("nan"), "nan", "\uff11", True, 5e-324, *ends))
        if self.kind == "INT":
            low, high = self.options.get("min", 0), self.options.get("max", 1)
            # The most of what takes time to count is a long wait and no more.
            return chance.choice((low, str(low), f" {low}_0 ", "\uff11", True, *([high] if high > 10**9 else [])))
        return chance.choice(self.choices) if self.choices else chance.choice(TEXTS)


class Kitchen:
    """Makes graphs of the nodes that a server's `object_info` tells of."""

    #: What ComfyUI itself makes cheaply, by type.
    HOST = {
        "LATENT": lambda: node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "IMAGE": lambda: node("EmptyImage", width=16, height=16, batch_size=1, color=0),
        "*": lambda: node("EmptyImage", width=16, height=16, batch_size=1, color=0),
    }

    #: What asks for the least work, and decides without a calibration, by the input's name.
    CHEAP = {
        "noise_samples": 1,
        "preset": "fast",
        "gate_steps": 1,
        "size": 256,
        "policy": "raw_threshold",
        "ledger": True,
    }

    def __init__(self, object_info: dict[str, Any], pack: str) -> None:
        self.nodes = {
            name: info for name, info in sorted(object_info.items()) if info["python_module"] == f"custom_nodes.{pack}"
        }

    def inputs(self, name: str) -> list[Input]:
        found = []
        for group in ("required", "optional"):
            for one, (kind, *more) in self.nodes[name]["input"].get(group, {}).items():
                options = dict(more[0]) if more else {}
                if isinstance(kind, list):
                    kind, options = "COMBO", {**options, "options": kind}
                found.append(Input(one, kind, options, group == "required"))
        return found

    def _maker(self, kind: str) -> tuple[str, int]:
        """The pack's node, with the number of its output, that gives a type and needs the least."""

        def needs(name: str) -> tuple[int, int, str]:
            required = [one for one in self.inputs(name) if one.required]
            return sum(one.linked for one in required), len(required), name

        makers = [name for name, info in self.nodes.items() if kind in info["output"] and self._can(name)]
        maker = min(makers, key=needs)
        return maker, self.nodes[maker]["output"].index(kind)

    def _can(self, name: str) -> bool:
        return all(one.choices for one in self.inputs(name) if one.required and one.kind == "COMBO")

    def _link(self, graph: Graph, kind: str) -> list[Any]:
        """A link to something of this type, which the graph gets unless it has it."""
        if kind in self.HOST:
            graph.setdefault(f"host {kind}", self.HOST[kind]())
            return [f"host {kind}", 0]
        maker, slot = self._maker(kind)
        if maker not in graph:
            graph[maker] = {}  # the place, against a circle
            graph[maker] = self.plain_node(graph, maker)
        return [maker, slot]

    def plain_node(self, graph: Graph, name: str) -> dict[str, Any]:
        values = {}
        for one in self.inputs(name):
            if one.linked and (one.required or one.kind == "LATENT"):
                values[one.name] = self._link(graph, one.kind)
            elif not one.linked and (one.choices or one.kind != "COMBO"):
                values[one.name] = one.plain()
        return node(name, **(values | {one: value for one, value in self.CHEAP.items() if one in values}))

    def plain(self, name: str) -> Graph:
        """A graph in which this node stands as "it", and nothing is wrong."""
        graph: Graph = {}
        graph["it"] = self.plain_node(graph, name)
        if not self.nodes[name]["output_node"]:
            graph["shown"] = node("PreviewAny", source=["it", 0])
        return graph

    def hostile(self, name: str, chance: random.Random) -> Graph:
        """A graph with this node in which something is wrong."""
        graph = self.plain(name)
        values, inputs = graph["it"]["inputs"], self.inputs(name)
        typed = [one for one in inputs if not one.linked]
        if chance.random() < 0.35 and typed:  # past the host's own checks
            for one in chance.sample(typed, min(len(typed), chance.randint(1, 3))):
                values[one.name] = one.odd(chance)
            return graph
        for one in chance.sample(inputs, min(len(inputs), chance.randint(1, 2))):
            kinds = [TEXTS, NUMBERS, structures(), links([*graph])]
            if not one.options.get("multiline"):
                kinds.append(HUGE[2:])
            values[one.name] = chance.choice(chance.choice(kinds))
        if not inputs or chance.random() < 0.15:
            self._deform(graph, chance)
        return graph

    @staticmethod
    def _deform(graph: Graph, chance: random.Random) -> None:
        """Spoils the graph's own shape."""
        it = graph["it"]
        what = chance.randrange(8)
        if what == 0:
            it["class_type"] = chance.choice((None, "", "EMoE_Nothing", SURROGATE, 7, [], "x" * 100_000))
        elif what == 1:
            # Inputs that are no object end ComfyUI's own worker before any node is asked, where the graph has another output.
            it["inputs"] = {}
        elif what == 2 and it["inputs"]:
            del it["inputs"][chance.choice(list(it["inputs"]))]
        elif what == 3:
            # Likewise a link to nothing in an input that the node does not have.
            it["inputs"] |= {"nosuch": 1, SURROGATE: SURROGATE, "__class__": "x", "cls": 1, "self": 2}
        elif what == 4:  # a circle
            it["inputs"]["latent_image" if "latent_image" in it["inputs"] else "experts"] = ["it", 0]
        elif what == 5:
            it["_meta"] = chance.choice((None, 7, {"title": SURROGATE * 5000}, nested(200)))
        elif what == 6:
            graph[chance.choice(("", "x" * 10_000, "\0", "\x1b[2J", "../../x"))] = it
        else:
            it["is_changed"] = [SURROGATE]

    def graphs(self, count: int, seed: int) -> Iterator[tuple[str, Graph]]:
        """That many hostile graphs, with the name of the node that each is about: every node in turn."""
        chance = random.Random(seed)
        for name in itertools.islice(itertools.cycle(self.nodes), count):
            yield name, self.hostile(name, chance)
