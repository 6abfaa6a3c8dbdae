"""Trials: prompts scored in every way, drawn, and marked good or bad, to learn whether the score foresees bad pictures.

`store` keeps a trial in one SQLite file. `python -m emoe_core prove` draws one, judges it and writes its page.
"""
