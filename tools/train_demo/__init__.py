"""How the embedded demo experts are made: from public packages to weights, repeatably.

Run ``python -m tools.train_demo --cache DIR`` from the repository's root.
"""
