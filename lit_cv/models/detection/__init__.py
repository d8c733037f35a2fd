"""One-stage detectors and the sliding window detector."""
