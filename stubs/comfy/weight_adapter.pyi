from typing import Any

class WeightAdapterBase:
    name: str
    loaded_keys: set[str]
    # Tensors among numbers and names; hosts copy the tensors to other devices.
    weights: Any
