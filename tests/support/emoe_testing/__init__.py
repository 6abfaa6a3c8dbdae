"""Helpers that more than one tier uses: stand-in checkpoints."""
