"""What was found, beside what the papers say: published tables, which run answers which row, claims, verdicts.

Read `columns`, `published` and `rows` first, then `compare` and `protocol` (a run beside a row, and whether it may
stand there); for the claims `lines` and `arms` (what a claim consists of), `claims_darts` and `claims_spos`,
`intervals`, `effects` and `verdicts` (the rule). No torch, and no pandas before a table is asked for; nothing is drawn
or printed here.
"""
