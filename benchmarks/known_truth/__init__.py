"""Parts of `benchmarks/validity.py`: prompts with a known history, every score of them, and the resulting figures."""
