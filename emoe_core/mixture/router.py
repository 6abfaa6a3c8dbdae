"""Routers without training: an expert's row is its own hidden state on its own prompt.

They are made as in `segmoe` 0.0.4 (`get_hidden_states`, `get_gate_params`): each expert draws its positive prompt, guided
away from its negative one; at the last step the input of every layer is taken from the conditional branch, averaged over
tokens and L2-normalised. The negative prompt has no row of its own: it acts through the guidance alone.
"""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import EMoEError

#: segmoe's floor for the norm.
_SMALLEST = 1e-8


def router_row(hidden: Tensor) -> Tensor:
    """The router's row from a layer's input on one image, [tokens, width] to [width] float32."""
    hidden = hidden.detach().float()
    mean = hidden.sum(dim=0) / hidden.shape[0]
    norm: Tensor = mean.norm(p=2)
    return mean / norm.clamp(min=_SMALLEST)


def stack_rows(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Routers by layer, each [M, width], from each expert's rows by layer.

    Raises:
        EMoEError: a row is not finite, so that expert's own sampling failed.
    """
    for index, expert in enumerate(rows):
        bad = [name for name, row in expert.items() if not bool(torch.isfinite(row).all())]
        if bad:
            raise EMoEError(
                f"Expert {index + 1} gives NaN or infinite values at {bad[0]} while it draws its router prompt: its "
                "weights are damaged or its precision is too low."
            )
    return {name: torch.stack([expert[name] for expert in rows]) for name in rows[0]}


def routers_digest(routers: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of all routers, names and values to float32."""
    digest = hashlib.sha256()
    for name in sorted(routers):
        digest.update(f"{name}:{tuple(routers[name].shape)};".encode())
        digest.update(routers[name].detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def prompts_of(text: str, experts: int, which: str) -> list[str]:
    """One prompt per expert from a text box, one per line; an `EMoEError` when the number of lines differs."""
    lines = [line.strip() for line in text.strip("\n").splitlines()]
    if len(lines) != experts:
        raise EMoEError(
            f"Build Mixture's {which}_prompts has {len(lines)} lines and there are {experts} experts; write one line per "
            "expert, in the experts' order."
        )
    return lines


def negative_prompts_of(text: str, experts: int) -> list[str]:
    """Like `prompts_of`; a single line, or none, holds for every expert."""
    lines = text.strip("\n").splitlines()
    return [text.strip()] * experts if len(lines) <= 1 else prompts_of(text, experts, "negative")


def positive_prompts_of(text: str, experts: int) -> list[str]:
    """Like `prompts_of`; an empty prompt is refused, since the router would know nothing of its expert."""
    lines = prompts_of(text, experts, "positive")
    if "" in lines:
        raise EMoEError(
            f"Build Mixture's positive_prompts has no prompt in line {lines.index('') + 1}; describe in every line what "
            "that expert is good at."
        )
    return lines
