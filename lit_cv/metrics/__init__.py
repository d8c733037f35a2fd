"""Metrics that agree with the official evaluations to the last digit."""

from lit_cv.metrics.coco import COCOAveragePrecision
from lit_cv.metrics.voc import VOCAveragePrecision

__all__ = ["COCOAveragePrecision", "VOCAveragePrecision"]
