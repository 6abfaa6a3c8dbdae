"""The parts of `benchmarks/choosing.py`."""
