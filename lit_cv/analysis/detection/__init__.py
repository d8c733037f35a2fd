"""Boxes, masks and the keypoints of people: error kinds, curves, confusions, slices and calibration."""
