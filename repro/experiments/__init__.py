"""What is computed: one function per experiment, `(params, run) -> result`.

Read `toy` first, then `cifar10_search`, `cifar10_eval` and `cifar10_selection`, `imagenet`, the `ptb_*` and the
`spos_*`; `image_data`, `language_data`, `spos_data`, `spos_networks`, `found` and `selection` are what several share.
These functions compose: whatever could be of use without an experiment's parameters belongs into a package before this
one.
"""
