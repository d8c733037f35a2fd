"""Layers shared by several networks."""
