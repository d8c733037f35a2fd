"""Statistics of a design of arms and seeds: numbers in, plain dataclasses out. Imports NumPy and SciPy only."""
