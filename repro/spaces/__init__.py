"""What can be searched, as values: cells of DARTS and genes of SPOS, what a choice costs, and limits.

Read `space` first (genes, costs, budgets) with `path_spaces`, `layouts` and `mobile` (those of SPOS), then
`cell_space` and `genotypes` (cells, and how DARTS prints them: `spelling`), then `nas_bench`, the tabular benchmarks
that both papers are held against. It stands under both papers and under what there is to run. No torch, no network,
no training: a space knows what may be chosen, not how it is computed.

Public: `space.Space`, `space.Cost`, `space.Budget`, `space.PathSampler`, `path_spaces.SPACES`, `layouts.Layout`,
`genotypes.load`, `genotypes.ConvGenotype`, `genotypes.RecurrentGenotype`, `genotypes.PUBLISHED`.
"""
