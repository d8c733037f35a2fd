"""W&B sweep files, expanded into the runs of an ablation."""
