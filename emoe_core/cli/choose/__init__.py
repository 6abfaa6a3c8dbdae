"""`python -m emoe_core choose`: which checkpoints to take as experts, and with which settings."""

DESCRIPTION = (
    "Which of your checkpoints to take as experts, at which price, and the cheapest settings: measured on a server without an "
    "image, and shown again from the file without one."
)
EPILOG = "exit codes: 0 done; 2 something could not be done; 130 stopped by Ctrl-C"
ACTIONS: dict[str, str] = {
    "run": "let a server measure the candidates, and fetch what it found; goes on where it stopped",
    "show": "show a saved choice again, with another largest set, loss or marks",
}
