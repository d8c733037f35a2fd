"""The run folder: its name, its files and its checkpoints. Imports nothing heavy."""
