"""DARTS and SPOS, reproduced: search, discretisation and evaluation."""

__version__ = "0.1.0"
