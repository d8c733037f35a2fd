"""Differences over resampled images, and over seeds and images together."""
