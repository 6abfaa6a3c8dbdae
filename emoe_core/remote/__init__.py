"""A running ComfyUI server: its workflows, its queue, and its answers."""
