"""EMoE without ComfyUI: experts and probes on diffusers' pipelines, folders and single files.

The only place that imports diffusers. In a few lines:

    from emoe_core.hosts.diffusers import load_experts, score

    experts = load_experts(["one.safetensors", "two.safetensors"], config="a/pipeline/folder")
    report = score(experts, "a lighthouse at night")
    report.score

Nothing is ever downloaded.
"""

from ...errors import EMoEError

try:
    import diffusers  # noqa: F401 (checked before anything here needs it)
    import transformers  # noqa: F401
except ImportError as _error:
    raise EMoEError(
        f"Scoring without ComfyUI needs diffusers and transformers ({_error}); install them in the pack's folder with: "
        'pip install ".[diffusers]", in an environment of its own rather than in ComfyUI\'s.'
    ) from _error

from ...scoring.presets import ScoreOptions
from .demo import demo_experts
from .experts import expert_from_network, expert_from_pipeline, experts_from_pipelines
from .loading import load_asked, load_expert, load_experts, without_progress_bars
from .scoring import Computing, proofs_of, score, score_many, settings_of

__all__ = [
    "Computing",
    "ScoreOptions",
    "demo_experts",
    "expert_from_network",
    "expert_from_pipeline",
    "experts_from_pipelines",
    "load_expert",
    "load_asked",
    "load_experts",
    "proofs_of",
    "score",
    "score_many",
    "settings_of",
    "without_progress_bars",
]
