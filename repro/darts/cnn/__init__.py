"""Convolutional cells (DARTS Sect. 3.1.1, 3.2): operations, mixed edges, the search and the networks.

Read `operations`, then `mixed_edges` (Eq. 2), `search_network`, `search` (Algorithm 1) and `evaluation_network`.
`folding` and `depthwise` compute the same numbers sooner and stand beside what they speed up. Nothing of the recurrent
cells, and nothing of an experiment: parameters arrive as plain values.
"""
