"""How targets and predictions look: drawn, as W&B media, and as rows of predictions.json."""

from lit_cv.renderers.base import Renderer
from lit_cv.renderers.boxes import BoxRenderer

__all__ = ["BoxRenderer", "Renderer"]
