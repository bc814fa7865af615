"""DARTS (Liu et al., ICLR 2019): what both kinds of cell share; `cnn` and `rnn` hold the two.

`plain` is the paper in plain code, and comes first. Read `bilevel` (the architecture gradient, Eqs. 5 to 8), then
`discretise` (Sect. 2.4); `complexity` counts parameters and multiply-adds, `grouped` makes grouped convolutions
differentiable twice. Then `cnn/search_network` or `rnn/recurrence`. No data set, no parameters of an experiment, no
run: functions get tensors and numbers.
"""
