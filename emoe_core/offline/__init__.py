"""Scoring prompts from the command line, without ComfyUI.

`command` reads the arguments, `work` scores row by row, `results` is the file that a run goes on from. Models are loaded by
the diffusers host, when the work begins.
"""
