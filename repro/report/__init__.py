"""What people look at: figures, tables, graphs, a film, pages, and the report made of them.

Read `report` first (what it is made from), then `sections`, `drawings` and `run_report` (what notebooks show),
`narration` and the findings by paper (what they say), `tables` with `typeset`, and `summary`; `style` (how every
picture looks and is kept), the figures, `graphs` with `dot`, and `film`; `pages` (HTML that opens from disk).
`publish` puts finished runs into the repository. Everything is made from run directories: nothing here trains, and no
number is born here.
"""
