"""Parts of `benchmarks/validity.py`: prompts with a known history, every score of them, and what the figures say."""
