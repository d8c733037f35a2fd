"""Predictions of evaluations: kept as files, scored again, and exported."""
