"""A running ComfyUI server: its workflows, its queue, and what it answers."""
