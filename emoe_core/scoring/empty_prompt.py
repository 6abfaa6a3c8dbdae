"""The empty prompt, with which some estimators compare: its latents, kept for the next prompt, and prompts that equal it.

The latents depend on the expert and on noise, size and step only, so a key says the latter and they live as long as the
expert.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict

from ..errors import EMoEError
from ..experts.sets import Expert
from .probe import Latents

#: An expert's, together; the latest is kept even if it alone is larger.
MOST_BYTES = 128 * 2**20

_kept: weakref.WeakKeyDictionary[Expert, OrderedDict[str, Latents]] = weakref.WeakKeyDictionary()


def recall(expert: Expert, key: str) -> Latents | None:
    """What was kept under this key; None when nothing was, or no more."""
    kept = _kept.get(expert)
    if kept is None or key not in kept:
        return None
    kept.move_to_end(key)
    return kept[key]


def keep(expert: Expert, key: str, latents: Latents) -> None:
    """Keep these, and give up what was not asked for longest where it becomes too much."""
    kept = _kept.setdefault(expert, OrderedDict())
    kept[key] = latents
    kept.move_to_end(key)
    while len(kept) > 1 and sum(map(_bytes, kept.values())) > MOST_BYTES:
        kept.popitem(last=False)


def says_nothing(text: str, estimator: str) -> EMoEError:
    """The error for a prompt that the text encoders do not tell from the empty prompt.

    What is left when the two are subtracted is rounding, and where they went through the network in calls of other sizes
    not even zero: a score of it would be a number without meaning.
    """
    which = f"The prompt '{text}'" if text.strip() else "The prompt"
    return EMoEError(
        f"{which} says no more than the empty prompt, with which the estimator '{estimator}' compares it; write a prompt, or "
        "choose the preset fast."
    )


def _bytes(latents: Latents) -> int:
    return sum(part.numel() * part.element_size() for parts in latents.values() for part in parts)
