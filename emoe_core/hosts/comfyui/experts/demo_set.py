"""The embedded experts as one expert set, with the calibrations made for them."""

from .... import demo
from ....experts.sets import ExpertSet
from ....io.files import file_sha256
from ....records.calibration import Calibration
from .demo import load_demo_expert
from .load import expert_from_model


def embedded_experts() -> ExpertSet:
    """Loads the four experts; an `EMoEError` when a file of the pack is missing or damaged."""
    experts = ExpertSet()
    for path in demo.expert_files():
        model, clip = load_demo_expert(path)
        experts = experts.add(expert_from_model(model, clip, path.stem, f"{path.name} sha256:{file_sha256(path)}"))
    return ExpertSet(experts.experts, tuple(map(Calibration.load, demo.calibration_files())))
