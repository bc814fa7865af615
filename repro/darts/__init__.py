"""DARTS (ICLR 2019): begin with `plain`, the paper in plain code."""
