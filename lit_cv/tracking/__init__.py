"""Weights & Biases: runs, server, logs and synchronization."""
