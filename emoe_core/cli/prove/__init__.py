"""`python -m emoe_core prove`: whether the score foresees bad pictures on one's own checkpoints. Each action is a module."""

DESCRIPTION = (
    "Draws prompts through a saved workflow with every reading of the score, and says from marks or judges whether the score "
    "foresees bad pictures on these models."
)
EPILOG = "exit codes: 0 done; 2 it could not be done; 130 stopped by Ctrl-C"
ACTIONS: dict[str, str] = {
    "look": "score known and unknown prompts, and say how well the score tells them apart; nothing is drawn",
    "draw": "score every prompt of a file in every way and draw it, through a saved workflow",
    "judge": "take what a table, or the demo experts' known pictures, say of a trial's pictures",
    "page": "write what a trial shows as a page, by a rule that is fixed beforehand",
    "finish": "write the calibrations that a trial leaves, and its workflow with the advised settings",
}
