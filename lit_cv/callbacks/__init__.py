"""Lightning callbacks."""

from lit_cv.callbacks.alternating import AlternatingTraining
from lit_cv.callbacks.ema import EMA
from lit_cv.callbacks.finetune import FinetuneBackbone
from lit_cv.callbacks.phases import TrainingPhases
from lit_cv.callbacks.pictures import Pictures
from lit_cv.callbacks.predictions import PredictionWriter
from lit_cv.callbacks.rcnn_stages.callback import RegionStages

__all__ = [
    "EMA",
    "AlternatingTraining",
    "FinetuneBackbone",
    "Pictures",
    "PredictionWriter",
    "RegionStages",
    "TrainingPhases",
]
