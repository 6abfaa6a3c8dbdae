"""Where a mixture's router sent a prompt: a baseline to compare the score with."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerRouting:
    """One mixture layer.

    Attributes:
        name: the layer's name in its network.
        entropy: of the router's softmax over all experts, mean over tokens, over its maximum: 0 picks one, 1 is undecided.
        load: each expert's share of the routing weight; sums to 1.
        separated: whether the paths were separated here, so the router's choice was not followed.
    """

    name: str
    entropy: float
    load: tuple[float, ...]
    separated: bool


@dataclass(frozen=True)
class Routing:
    """The routing of one scored prompt: means over paths, noise samples and layers.

    Attributes:
        items: entropy of each batch item.
        separated_at: the layer where the paths were separated.
    """

    entropy: float
    load: tuple[float, ...]
    items: tuple[float, ...]
    separated_at: str
    top_k: int
    layers: tuple[LayerRouting, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def line(self) -> str:
        """One line for a person."""
        load = ", ".join(f"{100 * share:.0f} %" for share in self.load)
        return (
            f"routing over {len(self.layers)} layers: entropy {self.entropy:.3f} of 1, load {load}; paths separated at "
            f"{self.separated_at}"
        )
