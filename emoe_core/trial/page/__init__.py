"""A trial's page: what it shows, as one HTML file in English and Japanese and as JSON.

    write(evidence(trial.contents(), "marks", "mine"), "folder", see)

The page is made of the same parts as the audit's report. It loads nothing: pictures are inside it, made small.
"""

from .page import html, write
from .record import record

__all__ = ["html", "record", "write"]
