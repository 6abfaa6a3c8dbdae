"""Parts of layouts: displays, groups, pictures, and the drawn size of each kind of node."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[int, int, int, int]

GREY, BLUE, GREEN, AMBER = "#888888", "#5aa0d0", "#7fb87f", "#d29a5a"


@dataclass(frozen=True)
class Display:
    """A node that only shows something: part of the workflow in the UI, left out of the one for the API.

    Attributes:
        inputs: the source node and output of each connected input, by the input's name.
    """

    id: int
    class_type: str
    title: str
    inputs: dict[str, tuple[int, int]]
    box: Box


@dataclass(frozen=True)
class Group:
    """A titled frame around nodes; its size follows from theirs."""

    title: str
    colour: str
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A picture to take: the workflow's thumbnail."""

    file: str
    prompt: str | None = None


@dataclass(frozen=True)
class App:
    """The content of app mode in newer frontends: nodes with a widget to fill in, and nodes with results to show."""

    inputs: tuple[tuple[int, str], ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """One workflow.

    Attributes:
        unfolded: nodes whose advanced inputs are shown, because the workflow is about them.
    """

    boxes: dict[int, Box]
    displays: tuple[Display, ...]
    groups: tuple[Group, ...]
    note: str
    note_box: Box
    pictures: tuple[Picture, ...]
    app: App
    note_id: int = 100
    unfolded: tuple[int, ...] = ()


#: A prompt that the demo experts cannot know.
UNKNOWN = "xchtgg"

Size = tuple[int, int]

#: The drawn size of each kind of node, with its widgets, in the frontend with the tallest nodes.
PROMPT: Size = (280, 110)
DEMO: Size = (280, 118)
ENCODE: Size = (260, 88)
ENCODE_EACH: Size = (260, 126)
LATENT: Size = (260, 106)
SCORE: Size = (300, 614)
GATE: Size = (290, 540)
SAMPLER: Size = (300, 262)
ADVANCED: Size = (300, 334)
DECODE: Size = (290, 46)
ROUTE: Size = (220, 140)
PICTURE: Size = (260, 280)
TEXT: Size = (220, 110)
MAP: Size = (380, 440)


def at(x: int, y: int, size: Size) -> Box:
    return x, y, *size


def text(node_id: int, title: str, source: tuple[int, int], box: Box) -> Display:
    return Display(node_id, "PreviewAny", title, {"source": source}, box)


def verdict(x: int, y: int) -> Display:
    return text(101, "Verdict", (6, 1), at(x, y, TEXT))


def number(title: str, source: tuple[int, int], x: int, y: int) -> Display:
    return text(102, title, source, at(x, y, TEXT))


def disagreement(x: int, y: int, who: str = "experts", vae: tuple[int, int] | None = None) -> Display:
    """The map of node 5's report; with a VAE it lies over the preview, if the report's preset allows one."""
    inputs = {"report": (5, 1)} | ({"vae": vae} if vae else {})
    return Display(103, "EMoE_DisagreementMap", f"Where the {who} disagree", inputs, at(x, y, MAP))


INPUTS = "Prompt, experts and size"
LEFT: dict[int, Box] = {
    1: at(0, 0, PROMPT),
    2: at(0, 170, DEMO),
    3: at(360, 0, ENCODE_EACH),
    4: at(360, 190, LATENT),
}
#: Below them, from the negative prompt to the picture that is kept.
ROAD: dict[int, Box] = {
    7: at(360, 720, ENCODE),
    8: at(720, 720, SAMPLER),
    9: at(1100, 720, DECODE),
    10: at(1470, 720, ROUTE),
    11: at(1770, 720, PICTURE),
}
