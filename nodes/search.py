"""What a node is called, and the words by which it is found beside its name on hosts whose search reads them."""

from typing import Any

from comfy_api.latest import io

from .api import known


def named(node_id: str, display_name: str, *words: str, schema: type = io.Schema) -> dict[str, Any]:
    """The part of a node's schema by which it is named, listed and found.

    The display name is also the first of the words: the search in a translated frontend lacks it, but guides use it. ComfyUI
    has the field `search_aliases` since 0.11. Older ones search only id and display name, so the most important words are in
    the display name.
    """
    found = known(schema, search_aliases=[display_name, *words])
    return {"node_id": node_id, "display_name": display_name, "category": "EMoE", **found}
