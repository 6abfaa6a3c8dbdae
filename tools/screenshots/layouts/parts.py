"""What layouts are made of: displays, groups, pictures, and how large a node of each kind is drawn."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[int, int, int, int]

GREY, BLUE, GREEN, AMBER = "#888888", "#5aa0d0", "#7fb87f", "#d29a5a"


@dataclass(frozen=True)
class Display:
    """A node that only shows something: part of the workflow in the UI, left out of the one for the API."""

    id: int
    class_type: str
    title: str
    source: tuple[int, int]
    box: Box


@dataclass(frozen=True)
class Group:
    """A titled frame around nodes; its size follows from theirs."""

    title: str
    colour: str
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A picture to take: the workflow's thumbnail, or one for the README."""

    file: str
    prompt: str | None = None
    whole_window: bool = False


@dataclass(frozen=True)
class Layout:
    boxes: dict[int, Box]
    displays: tuple[Display, ...]
    groups: tuple[Group, ...]
    note: str
    note_box: Box
    pictures: tuple[Picture, ...]
    note_id: int = 100


#: A prompt that the demo experts cannot know.
UNKNOWN = "xchtgg"

Size = tuple[int, int]

#: How large a node of each kind is drawn, with its widgets.
PROMPT: Size = (280, 110)
DEMO: Size = (280, 86)
ENCODE: Size = (260, 88)
LATENT: Size = (260, 106)
SCORE: Size = (300, 506)
GATE: Size = (290, 456)
SAMPLER: Size = (300, 262)
ADVANCED: Size = (300, 334)
DECODE: Size = (290, 46)
ROUTE: Size = (220, 140)
PICTURE: Size = (260, 280)
TEXT: Size = (220, 88)


def at(x: int, y: int, size: Size) -> Box:
    return x, y, *size


def verdict(x: int, y: int) -> Display:
    return Display(101, "PreviewAny", "Verdict", (6, 1), at(x, y, TEXT))


def number(title: str, source: tuple[int, int], x: int, y: int) -> Display:
    return Display(102, "PreviewAny", title, source, at(x, y, TEXT))


def disagreement(x: int, y: int, who: str = "experts") -> Display:
    return Display(103, "PreviewImage", f"Where the {who} disagree", (5, 2), at(x, y, PICTURE))


INPUTS = "Prompt, experts and size"
LEFT: dict[int, Box] = {
    1: at(0, 0, PROMPT),
    2: at(0, 170, DEMO),
    3: at(360, 0, ENCODE),
    4: at(360, 150, LATENT),
}
#: Below them, from the negative prompt to the picture that is kept.
ROAD: dict[int, Box] = {
    7: at(360, 640, ENCODE),
    8: at(720, 640, SAMPLER),
    9: at(1100, 640, DECODE),
    10: at(1470, 640, ROUTE),
    11: at(1770, 640, PICTURE),
}
