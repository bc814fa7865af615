"""What is computed: one function per experiment, `(params, run) -> result`.

Read `toy` first, then `cifar10_search` and `cifar10_cells`, `imagenet`, `language`, `spos_training`, `spos_search`,
`spos_latency`, `spos_correlation`, `step_cost`, `nb201_search`, `nb201_paths`, `derivation`,
`ptb_paths` and `hardware_front`. They share
`image_data`, `spos_data`, `spos_networks`, `found`, `selection` and `nb201_table`.
These functions compose: what is of use without an experiment's parameters belongs into a package before this one.
"""
