"""Test-time augmentation: a network sees an image several times, and its predictions are merged."""
