"""Detectors that classify regions: the R-CNN family, R-FCN, Mask R-CNN and DenseCap."""
