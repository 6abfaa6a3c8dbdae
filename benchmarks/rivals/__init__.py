"""The parts of `benchmarks/alternatives.py`."""
