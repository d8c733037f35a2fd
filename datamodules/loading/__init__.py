"""From files to batches: download, decode, pack, sample and load."""
