"""Batches: a saved workflow, a file of prompts, one or several ComfyUI servers, and one result line per prompt.

`plan` says what would be done, `journal` records finished and running rows, and `runner` hands rows to servers. `cli.batch` is
the command. Nothing here needs torch.
"""
