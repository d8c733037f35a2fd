"""Pascal VOC: detection, localization and segmentation."""
