"""Lightning callbacks."""

from lit_cv.callbacks.phases import TrainingPhases
from lit_cv.callbacks.pictures import Pictures
from lit_cv.callbacks.predictions import PredictionWriter

__all__ = ["Pictures", "PredictionWriter", "TrainingPhases"]
