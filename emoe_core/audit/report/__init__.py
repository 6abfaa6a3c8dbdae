"""The audit's report: one HTML file that needs no network, no script and no font, in English and Japanese.

    write(AuditResult.load("my_audit"), "my_audit/report.html")

The page loads nothing (its own content security policy forbids it). Every text of the user is escaped. The page's size
depends on the number of groups, not on the number of prompts. Drawings are inline SVG; the look is in style.css, the
page's own sentences are in texts.json, and the world map and the names are in data/ (made by tools/world_map).
"""

from ...records.message import LANGUAGES
from .page import html, write

__all__ = ["LANGUAGES", "html", "write"]
