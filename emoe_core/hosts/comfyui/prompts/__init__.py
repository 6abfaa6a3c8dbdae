"""Prompts in ComfyUI: texts through the text encoders, and CONDITIONINGs as the networks take them."""
