"""lit-cv: controlled ablations of computer-vision systems on PyTorch Lightning.

``lit_cv.load(RUN)`` is the network of a run, ``lit_cv.data(RUN)`` its data, and ``lit_cv.image(PATH)`` reads an image
file. The package imports PyTorch when one of them is used, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_cv.training.reloading import data, image, load

__version__ = "0.1.0"
__all__ = ["__version__", "data", "image", "load"]


def __getattr__(name: str) -> Any:
    if name in ("data", "image", "load"):
        return getattr(import_module("lit_cv.training.reloading"), name)
    raise AttributeError(f"module 'lit_cv' has no attribute {name!r}")
