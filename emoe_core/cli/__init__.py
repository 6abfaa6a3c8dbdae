"""The commands of `python -m emoe_core`."""
