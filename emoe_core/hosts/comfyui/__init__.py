"""The only place that imports `comfy.*`: experts, conditioning and probes on ComfyUI's own model management."""
