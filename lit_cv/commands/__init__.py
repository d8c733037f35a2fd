"""The verbs of `litcv`, one file each."""
