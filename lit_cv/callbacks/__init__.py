"""Lightning callbacks."""

from lit_cv.callbacks.pictures import DetectionPictures
from lit_cv.callbacks.predictions import PredictionWriter

__all__ = ["DetectionPictures", "PredictionWriter"]
