"""Recurrent cells (DARTS Sect. 3.1.2, A.1.2, A.2.2): the cell over time, language models, the search.

Read `darts.plain_recurrent` first (the cell as the paper writes it), then `recurrence`, `unrolled` and
`mixed_activations` (its fast gradient), `language_model`, `windows` and `training` (truncated back-propagation), and
`search`. Nothing of the convolutional cells, and nothing of an experiment: parameters arrive as plain values.

Public: `language_model.LanguageModel`, `search.LanguageSearch`.
"""
