"""Single Path One-Shot (Guo et al., ECCV 2020): supernets of single paths, and evolution over them.

`plain` is the paper in plain code, and comes first. Read `network` (a gene chooses one alternative a layer) with
`supernet` (of any modules), then `path_training` (a sampled path a step, and judging with inherited weights),
`evolution` (Algorithm 1), then the spaces: `choice_blocks`, `quantise`, `macro` and `mobile`; `latency` measures
them. Nothing of an experiment: what genes there are comes from `spaces`, parameters arrive as plain values.

Public: `plain`, `supernet.Supernet`, `choice_blocks.ChoiceNetwork`, `path_training.path_training`,
`path_training.PathTraining`, `path_training.PathJudge`, `evolution.search`, `evolution.Settings`,
`evolution.SearchState`.
"""
