"""Metrics that agree with the official evaluations to the last digit."""

from lit_cv.metrics.boundary import BoundaryIoU
from lit_cv.metrics.coco import COCOAveragePrecision
from lit_cv.metrics.densecap import DenseCaptionAP
from lit_cv.metrics.localization import LocalizationAccuracy
from lit_cv.metrics.pckh import PCK, PCKh
from lit_cv.metrics.recall import ProposalRecall
from lit_cv.metrics.segmentation import SegmentationMetrics
from lit_cv.metrics.voc import VOCAveragePrecision

__all__ = [
    "PCK",
    "BoundaryIoU",
    "COCOAveragePrecision",
    "DenseCaptionAP",
    "LocalizationAccuracy",
    "PCKh",
    "ProposalRecall",
    "SegmentationMetrics",
    "VOCAveragePrecision",
]
