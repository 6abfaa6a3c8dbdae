"""The ledger: an SQLite file with every Gate's decisions, and what can be learned from it later.

`store` opens it and holds the rows, `comparable` picks rows that can be compared with a calibration, `summary` counts and tests
for drift, `recalibrate` makes a calibration of the rows, and `sync` adds how long the runs took. `cli.ledger` is the command.
Nothing here needs torch.
"""
