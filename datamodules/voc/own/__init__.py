"""Annotations in Pascal VOC's form in folders of any names."""
