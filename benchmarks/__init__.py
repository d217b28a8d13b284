"""Ours beside what its users would otherwise run, in the same run, on the same data."""
