"""The templates about the decision: before the image, to another model, in mid-generation, and for a list of prompts."""

from __future__ import annotations

from .parts import (
    ADVANCED,
    AMBER,
    BLUE,
    DECODE,
    DEMO,
    ENCODE,
    ENCODE_EACH,
    GATE,
    GREEN,
    GREY,
    INPUTS,
    LATENT,
    LEFT,
    PICTURE,
    ROAD,
    ROUTE,
    SAMPLER,
    SCORE,
    UNKNOWN,
    App,
    Group,
    Layout,
    Picture,
    at,
    disagreement,
    number,
    text,
    verdict,
)

BEFORE = Layout(
    boxes={
        **LEFT,
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **ROAD,
    },
    displays=(
        verdict(1470, 0),
        number("p-value", (6, 3), 1470, 180),
        disagreement(1770, 0, vae=(2, 3)),
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
    note_box=(0, 370, 280, 340),
    pictures=(Picture("example_workflows/gate_before_generation.jpg"),),
    app=App(inputs=((1, "value"), (6, "alpha")), outputs=(11, 6, 103)),
)

REROUTED = Layout(
    boxes={
        **LEFT,
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **ROAD,
        12: at(0, 1100, DEMO),  # the fallback's loader
        13: at(360, 1100, ENCODE),
        14: at(360, 1250, ENCODE),
        15: at(720, 1100, SAMPLER),
        16: at(1100, 1100, DECODE),
    },
    displays=BEFORE.displays,
    groups=(
        *BEFORE.groups[:2],
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
        "**Reroute by Gate** hands on what is connected to *on_pass* or to *on_block*, never both."
    ),
    note_box=(0, 370, 280, 340),
    pictures=(Picture("example_workflows/reroute_blocked_prompt.jpg", prompt=UNKNOWN),),
    app=BEFORE.app,
)

MIDWAY = Layout(
    boxes={
        **LEFT,
        7: at(360, 370, ENCODE),
        8: at(720, 0, ADVANCED),  # the first steps
        5: (1120, 0, 300, 650),  # unfolded, so its card needs more room
        6: at(1500, 0, GATE),
        12: at(1120, 720, ADVANCED),  # the rest
        9: at(1500, 720, DECODE),
        10: at(1870, 720, ROUTE),
        11: at(2170, 720, PICTURE),
    },
    displays=(
        verdict(1870, 0),
        number("Score", (5, 0), 1870, 180),
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
        "`at_step` of Uncertainty Score (with `add_noise` *disable*).\n"
        "4. The demo's calibrations are for fresh latents, so the Gate compares with a plain number here. For your own "
        "models, run a few prompts with `mode` *observe* and set `threshold` between those you like and those you do not."
    ),
    note_box=(360, 600, 660, 210),
    pictures=(Picture("example_workflows/gate_in_mid_generation.jpg"),),
    app=App(inputs=((1, "value"), (6, "threshold")), outputs=(11, 6, 103)),
    unfolded=(5, 8, 12),
)

LISTED = Layout(
    boxes={
        1: (0, 0, 280, 150),  # Prompt List
        2: at(0, 210, DEMO),
        3: at(360, 0, ENCODE_EACH),
        4: at(360, 190, LATENT),
        5: at(720, 0, SCORE),
        6: at(1100, 0, GATE),
        **ROAD,
        10: (1470, 0, 260, 306),  # Filter List
        11: (1470, 720, 320, 300),  # all pictures
    },
    displays=(
        text(101, "How many passed", (10, 10), (1810, 0, 220, 110)),
        text(102, "How many were blocked", (10, 11), (1810, 180, 220, 110)),
    ),
    groups=(
        Group("Prompts, experts and size", GREY, (1, 2, 3, 4)),
        Group("Score the list, decide per prompt", BLUE, (5, 6, 10, 101, 102)),
        Group("Draw those that passed", GREEN, (7, 8, 9, 11)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. **Uncertainty Score of a List** scores all prompts in one go; **Filter List by Gate** "
        "keeps the prompts and their "
        "conditionings that the Gate passed, side by side.\n"
        "2. Only those are drawn. The other side of **Filter List by Gate** has the rest, for another model or a file.\n"
        "3. Write your own, one per line.\n\n"
        "For whole files, `python -m emoe_core batch` works through the night and goes on where it was stopped."
    ),
    note_box=(0, 380, 280, 300),
    pictures=(Picture("example_workflows/gate_a_list_of_prompts.jpg"),),
    app=App(inputs=((1, "prompts"), (6, "alpha")), outputs=(11, 6)),
)

KEPT = Layout(
    boxes={
        1: (0, 0, 280, 150),  # Prompt List
        2: at(0, 210, DEMO),
        3: at(360, 0, ENCODE_EACH),
        4: at(360, 190, LATENT),
        5: at(720, 0, SCORE),
        7: at(360, 720, ENCODE),
        8: at(720, 720, SAMPLER),
        9: at(1100, 720, DECODE),
        11: (1470, 560, 320, 460),  # Keep for Trial with all pictures
    },
    displays=(text(101, "Scores", (5, 0), (1100, 0, 290, 170)),),
    groups=(
        Group("Prompts, experts and size", GREY, (1, 2, 3, 4)),
        Group("Score in every way", BLUE, (5, 101)),
        Group("Draw all, the unknown too", GREEN, (7, 8, 9)),
        Group("Keep for the trial", AMBER, (11,)),
    ),
    note=(
        "# Try this\n"
        "1. Press **Run**. Every prompt is scored in every way, drawn, and kept with its picture in the trial *my trial*. No "
        "Gate is in between: a trial needs the pictures that it would block.\n"
        "2. Put another `seed` into **KSampler** and run again: every prompt gets a second picture. Leave the `noise_seed` of "
        "**Uncertainty Score** as it is.\n"
        "3. Take your own checkpoints with **Load Experts**, your own prompts, and a new trial.\n\n"
        "Then mark the pictures good or bad: the trial's page says whether the score foresees the bad ones.\n\n"
        "For whole files: `python -m emoe_core prove draw`."
    ),
    note_box=(0, 400, 280, 460),
    pictures=(Picture("example_workflows/prove_your_checkpoints.jpg"),),
    app=App(inputs=((1, "prompts"), (11, "trial")), outputs=(11,)),
)
