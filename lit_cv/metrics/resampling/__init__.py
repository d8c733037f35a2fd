"""Metrics of resampled test sets, from matches that are computed once."""
