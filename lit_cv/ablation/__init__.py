"""Sweeps and their tables. Knows command lines and result files only."""
