"""How anything trains: the one loop with its checkpoints, the device, precision, and several processes.

Read `fit` first (epochs, metrics, resume), then `checkpoints`, `classifier` (a step on images), and `setup`, which puts
`devices`, `acceleration` (arithmetic, layout, compilation), `cuda_graph`, `parallel` and `shared_norm` together;
`observer` looks into a search. Nothing here knows of an architecture: networks come from `darts` and `spos`, which
import this package.
"""
