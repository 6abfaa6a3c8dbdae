"""The ledger: an SQLite file with every Gate's decisions, and what can be learned from it later.

`store` opens it and holds the rows, `summary` counts and tests whether new scores still look like the calibration's,
`recalibrate` picks rows that can be compared and makes a calibration of them, and `sync` adds how long the runs took.
`cli.ledger` is the command. Nothing here needs torch.
"""
