"""Scores in ComfyUI: prompts encoded, networks run by a sampler, latents taken."""
