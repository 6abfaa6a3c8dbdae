"""Which layers of a U-Net a mixture replaces, and where its paths separate, by the names of the network's modules."""

import re
from collections.abc import Iterable

from ..errors import EMoEError

_PROJECTIONS = ("to_q", "to_k", "to_v")
_ATTENTION = tuple(f"{attention}.{name}" for attention in ("attn1", "attn2") for name in _PROJECTIONS)
#: SegMoE's `moe_layers`: which layers of a transformer block become sparse.
LAYERS: dict[str, tuple[str, ...]] = {"attn": _ATTENTION, "ff": ("ff",), "all": (*_ATTENTION, "ff")}


def of_block(layers: str) -> tuple[str, ...]:
    """Layer names within one transformer block, in the order in which they are called."""
    if layers not in LAYERS:
        raise EMoEError(f"There are no mixture layers '{layers}'; choose {', '.join(LAYERS)}.")
    return LAYERS[layers]


def in_order(blocks: Iterable[str]) -> list[str]:
    """Names of transformer blocks in the order in which the network calls them: down blocks come before up blocks."""

    def key(name: str) -> tuple[bool, list[int]]:
        return "output_blocks." in name or "up_blocks." in name, [int(number) for number in re.findall(r"\d+", name)]

    return sorted(blocks, key=key)


def separation(names: Iterable[str]) -> tuple[str, frozenset[str]]:
    """Where paths separate: the place in words and its layers, from a mixture's layers in network order.

    That is the first cross-attention (its to_q, to_k and to_v), as published, or the first mixture layer where it has no
    mixture layers ("an early MoE layer", version 2).
    """
    listed = list(names)
    if not listed:
        raise EMoEError("A mixture without layers has no paths to separate.")
    place = next((name.rsplit(".", 1)[0] for name in listed if ".attn2." in name), listed[0])
    return place, frozenset(name for name in listed if name == place or name.startswith(f"{place}."))
