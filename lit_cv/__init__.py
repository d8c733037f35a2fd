"""lit-cv: controlled ablations of computer-vision systems on PyTorch Lightning."""

__version__ = "0.1.0"
