"""Words by which a node is found beside its name, on hosts whose search reads them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .api import known


def found_by(*words: str, schema: type = io.Schema) -> dict[str, Any]:
    """The addition to a node's schema by which the search also finds it under these words.

    The first is the node's display name: the search in a translated frontend lacks it, but guides use it. ComfyUI has the
    field `search_aliases` since 0.11. Older ones search only id and display name, so the most important words are in the
    display name.
    """
    return known(schema, search_aliases=list(words))
