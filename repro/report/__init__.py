"""What people look at: figures, tables, drawn cells, a film, pages, and the report made of them.

Read `report` first (what it is made from), then `sections` and `ending` (what notebooks show), `summary` and `tables`
with `typeset`, the `figures_*`, `cells` and `film`, and `pages` (HTML that opens from disk). `publish` puts finished
runs into the repository. Everything is made from run directories: nothing here trains, and no number is born here.
"""
