"""How anything trains: the one loop with its checkpoints, the device, precision, and several processes.

Read `fit` first (epochs, metrics, resume), then `checkpoints`, `classifier` (a step on images), `devices`,
`acceleration` (arithmetic, layout, compilation), `cuda_graph` and `parallel`. Nothing here knows of an architecture or
of a search: networks come from `darts` and `spos`, which import this package and are not imported by it.
"""
