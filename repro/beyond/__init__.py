"""What the field found since the papers: searches held against tabular truth, why they collapse, and what helps.

Read `cell_network`: NAS-Bench-201's space as one network, a mixture for DARTS and single paths for SPOS. It goes with
the bilevel step of `darts` and the path training of `spos` as they are. Then `diagnosis`: curvature of the validation
loss in alpha, the discretisation gap, where a search should stop; `derivation`: cells by their
performance; `hardware`: a cost in the loss of alpha; `recurrent_paths`: single paths through recurrent cells.
"""
