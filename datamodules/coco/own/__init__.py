"""COCO's format in folders and files of any name, as labeling tools export it."""
