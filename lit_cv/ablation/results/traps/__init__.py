"""Traps of an ablation: each module finds one kind and describes it in a sentence with its numbers."""
