"""How experiments are carried out: notebooks, one run after another or many at a time, here or on a cluster.

Read `notebooks` and `engine` (one notebook), `launcher` (one run's processes), `preflight`, `runner`, `plan` and
`schedule` (many runs in the order of their needs), `board` with `pool` or `cluster`, `workers`, `tls`. `arguments`,
`completion`, `listing` and `records` are what the command line reads and prints. Nothing is computed here.
"""
