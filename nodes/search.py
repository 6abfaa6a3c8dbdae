"""The words that a node is found by beside its name, on hosts whose search reads them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .api import known


def found_by(*words: str, schema: type = io.Schema) -> dict[str, Any]:
    """What to add to a node's schema so that the search finds it by these words too.

    The first is the node's display name: in a translated frontend the search no longer knows it, and guides name nodes by it.
    ComfyUI has the field `search_aliases` since 0.11. In an older one only id and display name are searched, so the words
    that matter most are in the display name.
    """
    return known(schema, search_aliases=list(words))
