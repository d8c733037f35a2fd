"""Augmentation of uint8 images with their targets, each sample from its own random stream."""
