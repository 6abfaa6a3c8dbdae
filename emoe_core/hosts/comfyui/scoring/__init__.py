"""Scores in ComfyUI: prompts are encoded, networks run by a sampler, and latents taken."""
