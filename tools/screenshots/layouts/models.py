"""The templates about experts and what they know: the mixture, LoRAs, a calibration, and the words of a prompt."""

from __future__ import annotations

from .parts import (
    AMBER,
    BLUE,
    DECODE,
    DEMO,
    ENCODE_EACH,
    GATE,
    GREEN,
    GREY,
    INPUTS,
    LEFT,
    PICTURE,
    PROMPT,
    ROUTE,
    SAMPLER,
    SCORE,
    UNKNOWN,
    App,
    Display,
    Group,
    Layout,
    Picture,
    at,
    disagreement,
    number,
    text,
    verdict,
)

#: A smiley face: training showed none to any expert.
UNKNOWN_FACE = "nauseated face"

MIXED = Layout(
    boxes={
        1: at(0, 0, PROMPT),
        2: at(0, 170, DEMO),
        4: (0, 320, 280, 106),
        12: (360, 0, 320, 430),  # Build Mixture
        3: (760, 0, 300, 126),
        5: at(760, 190, SCORE),
        6: at(1140, 0, GATE),
        7: (360, 890, 320, 88),
        8: at(760, 890, SAMPLER),
        9: at(1140, 890, DECODE),
        10: at(1510, 890, ROUTE),
        11: at(1810, 890, PICTURE),
    },
    displays=(
        verdict(1510, 0),
        number("Score", (5, 0), 1510, 180),
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
        "The report of Uncertainty Score says where the gates sent the prompt."
    ),
    note_box=(0, 500, 280, 380),
    pictures=(Picture("example_workflows/the_papers_mixture.jpg"),),
    app=App(inputs=((1, "value"), (6, "threshold")), outputs=(11, 6, 103)),
)

FROM_LORAS = Layout(
    boxes={
        **LEFT,
        12: (360, 0, 320, 460),  # Experts from LoRAs
        13: (360, 580, 320, 130),  # Add Expert
        4: (0, 320, 280, 106),
        3: at(760, 0, ENCODE_EACH),
        5: at(760, 190, SCORE),
        6: at(1140, 190, GATE),
        14: (360, 890, 320, 88),  # the prompt for drawing
        7: (360, 1040, 320, 88),
        8: at(760, 890, SAMPLER),
        9: at(1140, 890, DECODE),
        10: at(1510, 890, ROUTE),
        11: at(1810, 890, PICTURE),
    },
    displays=(
        verdict(1510, 190),
        number("Score", (5, 0), 1510, 370),
        disagreement(1810, 190, vae=(2, 3)),
    ),
    groups=(
        Group("Prompt, model and size", GREY, (1, 2, 4)),
        Group("One model, one expert per LoRA", AMBER, (12, 13)),
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
        "3. Set the Gate to *observe*, run some prompts, and choose a `threshold`; or make a calibration with **Calibrate Gate**."
    ),
    note_box=(0, 500, 280, 520),
    pictures=(Picture("example_workflows/experts_from_loras.jpg"),),
    app=App(inputs=((1, "value"), (6, "threshold")), outputs=(11, 6, 103)),
)

CALIBRATED = Layout(
    boxes={
        **LEFT,
        7: (720, 0, 320, 544),  # Calibrate
        8: (1120, 0, 290, 82),  # Save Calibration
        5: at(720, 640, SCORE),
        6: at(1120, 640, GATE),
    },
    displays=(
        verdict(1490, 640),
        number("p-value", (6, 3), 1490, 820),
    ),
    groups=(
        Group(INPUTS, GREY, (1, 2, 3, 4)),
        Group("Make a calibration and keep it", GREEN, (7, 8)),
        Group("Try it", BLUE, (5, 6, 101, 102)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. **Calibrate Gate** scores 24 names that the demo experts were taught, and **Save Calibration** keeps "
        "the result in ComfyUI's user directory.\n"
        "2. The Gate below decides by it at once. In other graphs, **Load Calibration** brings it to the Gate.\n"
        "3. For your own models: 50 to 200 prompts that they draw well, one per line; a leading `!` marks one that comes out "
        "wrong. Calibrate Gate and Uncertainty Score must have the same settings.\n\n"
        "An interrupted calibration goes on where it stopped."
    ),
    note_box=(0, 370, 620, 230),
    pictures=(Picture("example_workflows/calibrate_and_save.jpg"),),
    app=App(inputs=((7, "prompts"), (1, "value"), (6, "alpha")), outputs=(6,)),
)

EXPLAINED = Layout(
    boxes={
        1: at(0, 0, PROMPT),
        2: at(0, 170, DEMO),
        4: (0, 320, 280, 106),
        5: (380, 0, 340, 526),  # Word Attribution
    },
    displays=(
        text(101, "What each word adds", (5, 0), (820, 0, 320, 150)),
        Display(102, "PreviewImage", "The prompt", {"images": (5, 1)}, (820, 220, 420, 280)),
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
    app=App(inputs=((1, "value"),), outputs=(5,)),
)
