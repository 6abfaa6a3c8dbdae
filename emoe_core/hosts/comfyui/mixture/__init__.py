"""Mixtures in ComfyUI: built, read from SegMoE folders, drawn with, and scored."""
