"""DARTS and SPOS, reproduced: search, discretisation and evaluation."""
