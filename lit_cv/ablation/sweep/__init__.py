"""W&B sweep files and the runs of an ablation that they define."""
