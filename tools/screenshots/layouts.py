"""Where every node of the example workflows lies, which notes and groups stand beside them, and what the pictures show.

Coordinates are the canvas's own: x and y of a node's body (its title bar is the 30 above it), width and height. They are
chosen by hand, left to right; `python tools/screenshots` refuses a layout in which two nodes overlap or one is too small
for its widgets.
"""

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
GATE: Size = (290, 430)
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
_LEFT: dict[int, Box] = {
    1: at(0, 0, PROMPT),
    2: at(0, 170, DEMO),
    3: at(360, 0, ENCODE),
    4: at(360, 150, LATENT),
}
#: Below them, from the negative prompt to the picture that is kept.
_ROAD: dict[int, Box] = {
    7: at(360, 640, ENCODE),
    8: at(720, 640, SAMPLER),
    9: at(1100, 640, DECODE),
    10: at(1470, 640, ROUTE),
    11: at(1770, 640, PICTURE),
}

_GATE = Layout(
    boxes={
        **_LEFT,
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **_ROAD,
    },
    displays=(
        verdict(1470, 0),
        number("p-value", (6, 3), 1470, 140),
        disagreement(1770, 0),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 3, 4)),
        Group("Score and decide", BLUE, (5, 6, 101, 102, 103)),
        Group("Generate only if passed", GREEN, (7, 8, 9, 10, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. The demo experts were trained on `sunflower`: the Gate lets it pass and it is drawn.\n"
        f"2. Change the prompt to `{UNKNOWN}` and run again. The Gate blocks it: the green group is not computed, and no "
        "image is saved.\n"
        "3. Try names of things in English, in your own language, and faces such as `winking face`.\n"
        "4. Try `rainbow`. They know it, and still it is blocked: `alpha` 0.1 gives up one good prompt in ten. With 0.01 it "
        "passes. `mode` *observe* only records.\n\n"
        "Every verdict is also a JSON file in `output/emoe`.\n\n"
        "With your own checkpoints: **Load Experts** instead of Demo Experts."
    ),
    note_box=(0, 350, 280, 340),
    pictures=(
        Picture("example_workflows/gate_before_generation.jpg"),
        Picture("docs/images/first_graph.png", whole_window=True),
        Picture("docs/images/blocked_graph.png", prompt=UNKNOWN, whole_window=True),
    ),
)

_REROUTE = Layout(
    boxes={
        **_LEFT,
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **_ROAD,
        12: at(0, 1020, DEMO),  # the fallback's loader
        13: at(360, 1020, ENCODE),
        14: at(360, 1170, ENCODE),
        15: at(720, 1020, SAMPLER),
        16: at(1100, 1020, DECODE),
    },
    displays=_GATE.displays,
    groups=(
        *_GATE.groups[:2],
        Group("Generate only if passed", GREEN, (7, 8, 9)),
        Group("Fallback, only if blocked", AMBER, (12, 13, 14, 15, 16)),
        Group("Save what was chosen", GREY, (10, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. The prompt passes: the green group makes the image, the amber one does not run. Its model is not "
        "even loaded.\n"
        f"2. Change the prompt to `{UNKNOWN}` and run again: now the amber group runs and the green one does not.\n"
        "3. Put what you like into the amber group: another checkpoint, another prompt, a placeholder picture.\n\n"
        "**Route** hands on what is connected to *on_pass* or to *on_block*, never both."
    ),
    note_box=(0, 350, 280, 340),
    pictures=(Picture("example_workflows/reroute_blocked_prompt.jpg", prompt=UNKNOWN),),
)

_MIDWAY = Layout(
    boxes={
        **_LEFT,
        7: at(360, 370, ENCODE),
        8: at(720, 0, ADVANCED),  # the first steps
        5: at(1120, 0, SCORE),
        6: at(1500, 0, GATE),
        12: at(1120, 640, ADVANCED),  # the rest
        9: at(1500, 640, DECODE),
        10: at(1870, 640, ROUTE),
        11: at(2170, 640, PICTURE),
    },
    displays=(
        verdict(1870, 0),
        number("Score", (5, 0), 1870, 140),
        disagreement(2170, 0),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 3, 4, 7)),
        Group("First 6 of 20 steps", GREY, (8,)),
        Group("Score the half-made image and decide", BLUE, (5, 6, 101, 102, 103)),
        Group("Finish only if passed", GREEN, (12, 9, 10, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**: six steps are made, the half-made latent is scored, and the other 14 steps run only if it "
        "passes.\n"
        f"2. Change the prompt to `{UNKNOWN}` and run again: the score is above the Gate's `threshold`, and the second "
        "sampler does not run.\n"
        "3. These numbers belong together: `end_at_step` of the first sampler, `start_at_step` of the second, `steps` and "
        "`at_step` of Score (with `add_noise` *disable*).\n"
        "4. The demo's calibrations are for fresh latents, so the Gate compares with a plain number here. For your own "
        "models, run a few prompts with `mode` *observe* and set `threshold` between those you like and those you do not."
    ),
    note_box=(360, 600, 660, 210),
    pictures=(Picture("example_workflows/gate_in_mid_generation.jpg"),),
)

#: A smiley face: no expert was shown one.
UNKNOWN_FACE = "nauseated face"

_MIXTURE = Layout(
    boxes={
        1: at(0, 0, PROMPT),
        2: at(0, 170, DEMO),
        4: (0, 320, 280, 106),
        12: (360, 0, 320, 430),  # Build Mixture
        3: (760, 0, 300, 88),
        5: at(760, 150, SCORE),
        6: at(1140, 0, GATE),
        7: (360, 780, 320, 88),
        8: at(760, 780, SAMPLER),
        9: at(1140, 780, DECODE),
        10: at(1510, 780, ROUTE),
        11: at(1810, 780, PICTURE),
    },
    displays=(
        verdict(1510, 0),
        number("Score", (5, 0), 1510, 140),
        disagreement(1810, 0, "paths"),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 4)),
        Group("One model of four", AMBER, (12,)),
        Group("Score its paths and decide", BLUE, (3, 5, 6, 101, 102, 103)),
        Group("Draw with the mixture if passed", GREEN, (7, 8, 9, 10, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. Build Mixture puts the attention layers of all experts into one network. Each expert draws its "
        "line of `positive_prompts` once, for the gates. The mixture draws the `sunflower`.\n"
        f"2. Change the prompt to `{UNKNOWN_FACE}` and run again. No expert was shown such a face: the Gate blocks it.\n"
        "3. `preset` *paper* is the published number. It sees faces, and little else; *fast* sees more (and wants another "
        "`threshold`).\n\n"
        "The report of Score says where the gates sent the prompt."
    ),
    note_box=(0, 500, 280, 380),
    pictures=(Picture("example_workflows/the_papers_mixture.jpg"),),
)

_LIST = Layout(
    boxes={
        1: (0, 0, 280, 150),  # Prompt List
        2: at(0, 210, DEMO),
        3: at(360, 0, ENCODE),
        4: at(360, 150, LATENT),
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **_ROAD,
        10: (1470, 0, 260, 306),  # Filter List
        11: (1470, 640, 320, 300),  # all pictures
    },
    displays=(
        Display(101, "PreviewAny", "How many passed", (10, 10), (1810, 0, 220, 88)),
        Display(102, "PreviewAny", "How many were blocked", (10, 11), (1810, 140, 220, 88)),
    ),
    groups=(
        Group("Prompts, experts and size", GREY, (1, 2, 3, 4)),
        Group("Score and decide, once a prompt", BLUE, (5, 6, 10, 101, 102)),
        Group("Draw those that passed", GREEN, (7, 8, 9, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. Everything after **Prompt List** runs once a prompt; **Filter List** keeps the prompts and their "
        "conditionings that the Gate passed, side by side.\n"
        "2. Only those are drawn. The other side of **Filter List** has the rest, for another model or a file.\n"
        "3. Write your own, one a line.\n\n"
        "For whole files, `python -m emoe_core batch` works through the night and goes on where it was stopped."
    ),
    note_box=(0, 380, 280, 300),
    pictures=(Picture("example_workflows/gate_a_list_of_prompts.jpg"),),
)

_CALIBRATE = Layout(
    boxes={
        **_LEFT,
        7: (720, 0, 320, 506),  # Calibrate
        8: (1120, 0, 290, 82),  # Save Calibration
        5: at(720, 640, SCORE),
        6: at(1120, 640, GATE),
    },
    displays=(
        verdict(1490, 640),
        number("p-value", (6, 3), 1490, 780),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 3, 4)),
        Group("Make a calibration and keep it", GREEN, (7, 8)),
        Group("Try it", BLUE, (5, 6, 101, 102)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. **Calibrate** scores 24 names that the demo experts were taught, and **Save Calibration** keeps "
        "the result in ComfyUI's user directory.\n"
        "2. The Gate below decides by it at once. In other graphs, **Load Calibration** brings it to the Gate.\n"
        "3. For your own models: 50 to 200 prompts that they draw well, one a line; a leading `!` marks one that comes out "
        "wrong. Calibrate and Score must have the same settings.\n\n"
        "An interrupted calibration goes on where it stopped."
    ),
    note_box=(0, 350, 620, 240),
    pictures=(Picture("example_workflows/calibrate_and_save.jpg"),),
)

_WORDS = Layout(
    boxes={
        1: at(0, 0, PROMPT),
        2: at(0, 170, DEMO),
        4: (0, 320, 280, 106),
        5: (380, 0, 340, 526),  # Word Attribution
    },
    displays=(
        Display(101, "PreviewAny", "What each word adds", (5, 0), (820, 0, 320, 150)),
        Display(102, "PreviewImage", "The prompt", (5, 1), (820, 220, 420, 280)),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 4)),
        Group("Leave out one word after the other", BLUE, (5, 101, 102)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. The prompt is scored whole, then with each word left out. `sunflower` was taught to the demo "
        "experts: it makes them surer (blue). `xchtgg` was not: it makes them less sure (orange).\n"
        "2. Write prompts of your own, in any language. The demo experts know names of emoji and little grammar; your own "
        "checkpoints know more.\n\n"
        "Each word costs one score."
    ),
    note_box=(0, 600, 720, 170),
    pictures=(Picture("example_workflows/which_word_is_unknown.jpg"),),
)

_LORAS = Layout(
    boxes={
        **_LEFT,
        12: (360, 0, 320, 460),  # Experts from LoRAs
        13: (360, 530, 320, 106),  # Add Expert
        4: (0, 320, 280, 106),
        3: at(760, 0, ENCODE),
        5: at(760, 150, SCORE),
        6: at(1140, 150, GATE),
        14: (360, 780, 320, 88),  # the prompt for drawing
        7: (360, 930, 320, 88),
        8: at(760, 780, SAMPLER),
        9: at(1140, 780, DECODE),
        10: at(1510, 780, ROUTE),
        11: at(1810, 780, PICTURE),
    },
    displays=(
        verdict(1510, 150),
        number("Score", (5, 0), 1510, 290),
        disagreement(1810, 150),
    ),
    groups=(
        Group("Prompt, model and size", GREY, (1, 2, 4)),
        Group("One model, one expert a LoRA", AMBER, (12, 13)),
        Group("Score and decide", BLUE, (3, 5, 6, 101, 102, 103)),
        Group("Generate with the plain model only if passed", GREEN, (14, 7, 8, 9, 10, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. Three small LoRAs make three experts of the demo's model, and **Add Expert** counts the model as "
        "it is as a fourth. They know `sunflower`: it is drawn.\n"
        f"2. Change the prompt to `{UNKNOWN}` and run again: the score is above the Gate's `threshold`.\n\n"
        "# With your own LoRAs\n"
        "1. Put **Load Checkpoint** in place of Demo Experts: its MODEL, CLIP and VAE go where the demo's went. Choose 512 x "
        "512 (SD 1.5) in Empty Latent Image.\n"
        "2. Choose your LoRAs in **Experts from LoRAs**: two to eight of the checkpoint's family, trained on different "
        "pictures.\n"
        "3. Set the Gate to *observe*, run some prompts, and choose a `threshold`; or make a calibration with **Calibrate**."
    ),
    note_box=(0, 500, 280, 520),
    pictures=(Picture("example_workflows/experts_from_loras.jpg"),),
)

LAYOUTS: dict[str, Layout] = {
    "gate_before_generation": _GATE,
    "reroute_blocked_prompt": _REROUTE,
    "gate_in_mid_generation": _MIDWAY,
    "the_papers_mixture": _MIXTURE,
    "gate_a_list_of_prompts": _LIST,
    "calibrate_and_save": _CALIBRATE,
    "which_word_is_unknown": _WORDS,
    "experts_from_loras": _LORAS,
}
