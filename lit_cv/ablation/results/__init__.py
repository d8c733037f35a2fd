"""Finished runs, their comparability, and their statistics."""
