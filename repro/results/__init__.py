"""What was found, beside what the papers say: published tables, which run answers which row, and the comparison.

Read `published` (the papers' numbers), `rows` (what re-creates each of them), then `compare`. Nothing here computes a
number of a network, and nothing imports torch.
"""
