"""The ledger: an SQLite file with every Gate's decisions, and what can be learned from it later.

`file` opens it, `store` holds the rows, `comparable` picks rows that can be compared with a calibration, `drift` tests
whether new scores still look like the calibration's, `summary` counts, `recalibrate` makes a calibration of the rows,
`sync` adds how long the runs took, and `command` is `python -m emoe_core ledger`. Nothing here needs torch.
"""
