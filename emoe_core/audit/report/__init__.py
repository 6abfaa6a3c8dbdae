"""The audit's report: one HTML file that needs no network, no script and no font, in English and Japanese.

    write(AuditResult.load("my_audit"), "my_audit/report.html")

The page loads nothing (its own content security policy forbids it). Every text of the user is escaped. The page's size
depends on the number of groups, not on the number of prompts. Drawings are inline SVG; the look is in style.css, the
page's own sentences are in texts.json, and the world map and the names are in data/ (made by tools/world_map).
"""

from pathlib import Path

from ...errors import EMoEError
from ...io.files import explained, write_whole
from ..result import AuditResult
from .wording import LANGUAGES

__all__ = ["LANGUAGES", "html", "write"]


def html(result: AuditResult, language: str = "en") -> str:
    """The report as text. Both languages are in it; `language` ("en" or "ja") is shown first.

    Raises:
        EMoEError: an unknown language.
    """
    from .page import page

    if language not in LANGUAGES:
        raise EMoEError(f"The report has no language '{language}'; choose {' or '.join(LANGUAGES)}.")
    return page(result, language)


def write(result: AuditResult, path: str | Path, language: str = "en") -> Path:
    """Writes the report; the file is complete or absent.

    Raises:
        EMoEError: an unknown language, or the file cannot be written.
    """
    path, text = Path(path), html(result, language)
    with explained(f"The report '{path}' cannot be written", "choose another folder"):
        write_whole(path, text)
    return path
