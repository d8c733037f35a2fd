"""Predictions as files: compact arrays, and the formats of evaluation servers."""
