"""The original implementations: their checkpoints, their numbers, and this package held against both.

Read `cnn` and `rnn` first (the authors' state dicts, read into these networks), then `vectors` (reference files) and
`verify`, which calls `verify_cnn`, `verify_rnn` and `verify_spos`. What a file from elsewhere holds is data: nothing in
it is ever executed. No experiment, no figure.
"""
