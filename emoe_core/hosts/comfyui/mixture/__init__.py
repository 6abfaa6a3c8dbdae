"""Mixtures in ComfyUI: made, read from files of SegMoE, drawn with, and scored."""
