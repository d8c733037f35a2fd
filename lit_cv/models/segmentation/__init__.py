"""Networks for semantic segmentation."""
