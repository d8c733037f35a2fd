"""Data sets of boxes: DataModule, dataset, packed boxes and attached proposals."""
