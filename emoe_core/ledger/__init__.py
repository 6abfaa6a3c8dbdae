"""The ledger: what every Gate decided, in an SQLite file, and what can be learned from it later.

`file` opens it, `store` keeps the rows, `comparable` says which rows may stand beside a calibration, `drift` asks whether
new scores still look like the calibration's, `summary` counts, `recalibrate` makes a calibration of the rows, `sync` adds
how long the runs took, and `command` is `python -m emoe_core ledger`. Nothing here needs torch.
"""
