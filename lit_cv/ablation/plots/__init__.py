"""Plots and pictures of a report."""
