"""DARTS (Liu et al., ICLR 2019): what both kinds of cell share; `cnn` and `rnn` hold the two.

`plain`, `plain_networks` and `plain_recurrent` are the paper in plain code, and come first. Read `bilevel` (the
architecture gradient, Eqs. 5 to 8), then `discretise` (Sect. 2.4); `complexity` counts parameters and multiply-adds,
`double_backward` has gradients that are differentiated again. Then `cnn` or `rnn`. No data set, no parameters of an
experiment, no run: functions get tensors and numbers.

Public: `plain`, `bilevel.Functional`, `bilevel.architecture_gradient`, `bilevel.unrolled_terms`,
`discretise.conv_genotype`, `discretise.recurrent_genotype`, `complexity.count_parameters`,
`complexity.count_mult_adds`.
"""
