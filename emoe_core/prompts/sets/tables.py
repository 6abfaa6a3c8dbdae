"""The files of the built-in sets."""

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import EMoEError

DATA = Path(__file__).resolve().parent / "data"
CONCEPTS, REGIONS = "concepts", "regions"
SETS = (CONCEPTS, REGIONS)


@lru_cache(maxsize=len(SETS))
def table(name: str) -> dict[str, Any]:
    """A set's file, read once.

    Both have `version`, `source`, and `languages` (tag -> name, script, speakers). `concepts` has `concepts` (emoji, topic,
    id) and `names` (language -> one name per concept). `regions` has `ids` and `topics` of the things, `territories`
    (territory, continent, region, population), and per language `names` of the territories, `things` and `commas`.

    Raises:
        EMoEError: there is no such set, or its file is missing or damaged.
    """
    if name not in SETS:
        raise EMoEError(f"There is no built-in prompt set '{name}'; choose one of {', '.join(SETS)}.")
    path = DATA / f"{name}.json.gz"
    try:
        found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise EMoEError(f"The prompt set '{path}' is damaged ({error}); install the node pack again.") from error
    return found
