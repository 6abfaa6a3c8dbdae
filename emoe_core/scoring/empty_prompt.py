"""The empty prompt, with which some estimators compare: a cache of its latents, and prompts that equal it.

The latents depend only on the expert and on noise, size and step. The latter make the key, and the latents live as long
as the host's model: experts in another order, or one more of them, are new experts of the same models.
"""

import weakref
from collections import OrderedDict
from typing import Any

from ..errors import EMoEError
from ..experts.sets import Expert
from .probe import Latents

#: Limit for one model's latents; the latest are kept even if they exceed it.
MOST_BYTES = 128 * 2**20

_kept: weakref.WeakKeyDictionary[Any, OrderedDict[tuple[str, str], Latents]] = weakref.WeakKeyDictionary()


def recall(expert: Expert, key: str) -> Latents | None:
    """The latents kept under this key, or None."""
    kept, own = _kept.get(expert.model), (expert.identity, key)
    if kept is None or own not in kept:
        return None
    kept.move_to_end(own)
    return kept[own]


def keep(expert: Expert, key: str, latents: Latents) -> None:
    """Keeps these latents, and drops the least recently used ones of the model beyond the limit."""
    kept, own = _kept.setdefault(expert.model, OrderedDict()), (expert.identity, key)
    kept[own] = latents
    kept.move_to_end(own)
    while len(kept) > 1 and sum(map(_bytes, kept.values())) > MOST_BYTES:
        kept.popitem(last=False)


def says_nothing(text: str, estimator: str) -> EMoEError:
    """The error for a prompt that the text encoders cannot tell from the empty prompt.

    The difference of the two is rounding, which is not even zero where they went through the network in calls of different
    sizes: a score of it would be meaningless.
    """
    which = f"The prompt '{text}'" if text.strip() else "The prompt"
    return EMoEError(
        f"{which} says no more than the empty prompt, with which the estimator '{estimator}' compares it; write a prompt, or "
        "choose the preset fast."
    )


def _bytes(latents: Latents) -> int:
    return sum(part.numel() * part.element_size() for parts in latents.values() for part in parts)
