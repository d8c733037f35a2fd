"""Experiments and sweeps to start from: written for recognized data, or copied from those of the package."""
