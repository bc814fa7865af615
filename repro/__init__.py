"""DARTS and SPOS, reproduced: search, discretisation and evaluation.

Public are the commands `repro` and `python -m repro.recipe`, and the names that a package's docstring lists after
"Public:"; the changelog says when one of them changes. All other names may change at any time.
"""

__version__ = "0.1.0"
