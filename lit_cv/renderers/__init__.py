"""Rendering of targets and predictions: pictures, W&B media and rows of predictions.json."""

from lit_cv.renderers.base import Renderer
from lit_cv.renderers.boxes import BoxRenderer, TopBoxRenderer
from lit_cv.renderers.instances import InstanceRenderer
from lit_cv.renderers.masks import MaskRenderer
from lit_cv.renderers.phrases import PhraseRenderer
from lit_cv.renderers.poses import PoseRenderer

__all__ = [
    "BoxRenderer",
    "InstanceRenderer",
    "MaskRenderer",
    "PhraseRenderer",
    "PoseRenderer",
    "Renderer",
    "TopBoxRenderer",
]
