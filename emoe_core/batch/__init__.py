"""The batch road: a saved workflow, a file of prompts, one or several ComfyUI servers, and a line for every prompt.

`workflow` fills the graph, `check` compares it with what a server offers, `journal` keeps what is done and what is
under way, `server` talks to one ComfyUI, `runner` hands rows to servers, `results` reads the history, `console` shows
progress and `command` is `python -m emoe_core batch`. Nothing here needs torch.
"""
