"""Detectors in one stage and by sliding window."""
