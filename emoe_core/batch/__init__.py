"""Batches: a saved workflow, a file of prompts, one or several ComfyUI servers, and one result line per prompt.

`workflow` fills the graph, `check` compares it with what a server offers, `journal` records finished and running rows,
`server` talks to one ComfyUI, `runner` hands rows to servers, `results` reads the history, `console` shows
progress and `command` is `python -m emoe_core batch`. Nothing here needs torch.
"""
