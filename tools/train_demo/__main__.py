"""One command from packages to weights: ``python -m tools.train_demo --cache DIR``."""

from __future__ import annotations

import sys

from .pipeline import main

if __name__ == "__main__":
    sys.exit(main())
