"""Detectors that classify regions: R-CNN and its successors, R-FCN, Mask R-CNN and DenseCap."""
