"""COCO: boxes, instance masks and person keypoints."""
