"""What there is to run: every experiment's parameters and, in the same file, the record of all its other facts.

Read `record` (what an experiment is), then `cifar10_search`, as an example; `registry` finds them by name, `profiles`
lists what each size runs, `hours` counts what that costs. Nothing here imports torch, and nothing here runs anything.
"""
