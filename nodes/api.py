"""What newer hosts' node API offers beyond that of the oldest one: used if the host has it, left out otherwise.

A host's signatures are asked, because its version number says nothing about forks and backports.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

from comfy_api.latest import io


def known(*makers: Callable[..., Any], **wanted: Any) -> dict[str, Any]:
    """The named arguments that all of these classes take: an older host refuses an argument that it does not know."""
    taken = [signature(maker).parameters for maker in makers]
    return {name: value for name, value in wanted.items() if all(name in one for one in taken)}


#: For an input that stays folded until a person asks for the advanced ones. Its value is sent and stored as usual.
ADVANCED = known(io.Boolean.Input, io.Combo.Input, io.Float.Input, io.Int.Input, io.String.Input, advanced=True)

#: For a node that shows something and is no output node: clients then hear of it even when it comes from the cache.
TOLD_FROM_CACHE = known(io.Schema, has_intermediate_output=True)


def named(node_id: str, display_name: str, *words: str, schema: type = io.Schema) -> dict[str, Any]:
    """The part of a node's schema by which it is named, listed and found.

    The display name is also the first of the words: the search in a translated frontend lacks it, but guides use it. ComfyUI
    has the field `search_aliases` since 0.11. Older ones search only id and display name, so the most important words are in
    the display name.
    """
    found = known(schema, search_aliases=[display_name, *words])
    return {"node_id": node_id, "display_name": display_name, "category": "EMoE", **found}
