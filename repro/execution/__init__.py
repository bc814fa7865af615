"""How experiments are carried out: notebooks, one run after another or many at a time, here or on a cluster.

Read `notebooks` and `engine` (one notebook), `launcher` (one run's processes), `preflight`, `runner` and `plan` (many
runs in the order of their needs), `board` with `pool` or `cluster`, `workers`, `tls`. `arguments`, `completion`,
`records` and `listing` are what the command line reads and prints. Nothing is computed here.
"""
