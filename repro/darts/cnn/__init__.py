"""Convolutional cells (DARTS Sect. 3.1.1, 3.2): operations, mixed edges, the search and the networks.

Read `operations`, then `mixed_edges` (Eq. 2) with `batched_edges` and `folded_edges`, `search_network`, `search`
(Algorithm 1) and `evaluation_network`. `folding` and `depthwise` are the fast gradients that these use on a CPU.
Nothing of the recurrent cells, and nothing of an experiment: parameters arrive as plain values.

Public: `search_network.SearchNetwork`, `search.ImageSearch`, `evaluation_network.EvaluationNetwork`.
"""
