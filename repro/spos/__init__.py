"""SPOS (ECCV 2020): begin with `plain`, the paper in plain code."""
