"""`python -m emoe_core choose`: which checkpoints to take as experts, and with which settings."""

DESCRIPTION = (
    "Says which of your checkpoints to take as experts, what each adds and costs, and which settings are the cheapest. A server "
    "measures it and draws no image."
)
EPILOG = "exit codes: 0 done; 2 something could not be done; 130 stopped by Ctrl-C"
ACTIONS: dict[str, str] = {
    "run": "let a server measure the candidates, and fetch what it found; an interrupted run goes on",
    "show": "show a saved choice again, without a server; with another largest set, loss or marks",
}
