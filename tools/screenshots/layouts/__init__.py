"""The place of every node in the example workflows, their notes and groups, and what the pictures show.

Coordinates are the canvas's own: x and y of a node's body (its title bar is the 30 above it), width and height. They are
chosen by hand, left to right; `python tools/screenshots` refuses a layout in which two nodes overlap or one is too small
for its widgets.
"""

from __future__ import annotations

from . import gates, models
from .parts import Box, Group, Layout, Picture

__all__ = ["LAYOUTS", "Box", "Group", "Layout", "Picture"]

LAYOUTS: dict[str, Layout] = {
    "gate_before_generation": gates.BEFORE,
    "reroute_blocked_prompt": gates.REROUTED,
    "gate_in_mid_generation": gates.MIDWAY,
    "the_papers_mixture": models.MIXED,
    "gate_a_list_of_prompts": gates.LISTED,
    "calibrate_and_save": models.CALIBRATED,
    "which_word_is_unknown": models.EXPLAINED,
    "experts_from_loras": models.FROM_LORAS,
    "prove_your_checkpoints": gates.KEPT,
}
