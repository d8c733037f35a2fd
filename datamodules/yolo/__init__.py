"""YOLO's text labels: boxes and polygons."""
