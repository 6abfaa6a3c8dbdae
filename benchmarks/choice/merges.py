"""Planted merges, and fine-tunes among which there are none."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .sets import expert


class Family:
    """Fine-tunes of one base, and what their weights tell of merges."""

    def __init__(self, core: ModuleType, experts: dict[str, Any]) -> None:
        from known_truth.variants import half

        self.core = core
        self.experts = {name: half(weights) for name, weights in experts.items()}
        self.known = {name: expert(core, name, weights) for name, weights in self.experts.items()}

    def error(self, rng: Any, by_block: bool) -> float:
        """Of a merge of two that stand beside a third: how far the found shares are from the planted ones; 1 if not found."""
        from known_truth import variants

        one, other, third = (list(self.experts)[place] for place in rng.permutation(len(self.experts))[:3])
        planted = rng.uniform(0.1, 0.9, 3 if by_block else 1)
        if by_block:
            by_name = dict(zip(("input_blocks", "output_blocks", ""), planted.tolist(), strict=True))
            made = variants.by_block(self.experts[one], self.experts[other], by_name)
        else:
            made = variants.merge(self.experts[one], self.experts[other], float(planted[0]))
        every = [self.known[one], self.known[other], self.known[third], expert(self.core, "merge", variants.half(made))]
        order = rng.permutation(4).tolist()
        found = self.core.experts.kinship.kinship([every[place] for place in order])
        merge = next((each for each in found.merges if order[each.child] == 3 and each.decided), None)
        if merge is None or {order[place] for place in merge.parents} != {0, 1}:
            return 1.0
        of_other = [order[place] for place in merge.parents].index(1)
        # Shares that hardly differ are told as one.
        told = [shares[of_other] for _, shares in merge.blocks] or [merge.weights[of_other]]
        if by_block:
            # Every planted share must be found, and no other one.
            return max(
                max(min(abs(share - one) for one in told) for share in planted),
                max(min(abs(share - one) for share in planted) for one in told),
            )
        return abs(told[0] - float(planted[0]))

    def alarms(self) -> tuple[int, int]:
        """Among the fine-tunes themselves: merges that were found, and triples of a child and two parents that were tried."""
        count = len(self.experts)
        found = self.core.experts.kinship.kinship(list(self.known.values()))
        return len(found.merges) + len(found.copies), count * (count - 1) * (count - 2) // 2


def merges(core: ModuleType, sources: Sequence[Any], quick: bool) -> dict[str, Any]:
    """Planted merges, and fine-tunes without any."""
    from known_truth.families import fine_tunes

    families = {source.name: source.experts for source in sources}
    families["small nets"] = {f"fine-tune {n}": one for n, one in enumerate(fine_tunes(8 if quick else 12), 1)}
    errors: list[float] = []
    in_blocks: list[float] = []
    alarms = tried = 0
    for name, experts in families.items():
        family, rng = Family(core, experts), np.random.default_rng(0)
        draws = 10 if quick else 50
        errors += [family.error(rng, False) for _ in range(draws)]
        in_blocks += [family.error(rng, True) for _ in range(draws)]
        found = family.alarms()
        alarms, tried = alarms + found[0], tried + found[1]
        print(
            f"  merges among {name}: error {max(errors):.4f}, by block {max(in_blocks):.4f}, alarms {found}", flush=True
        )
    return {
        "merge_weight_error": max(*errors, *in_blocks),
        "whole": max(errors),
        "by_block": max(in_blocks),
        "planted": len(errors) + len(in_blocks),
        "merge_false_alarms": alarms,
        "triples": tried,
    }
