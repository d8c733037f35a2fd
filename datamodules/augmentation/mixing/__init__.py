"""Mixing of several training samples into one, before the augmentation: the setting ``data.mixing``."""

from datamodules.augmentation.mixing.base import Mixing
from datamodules.augmentation.mixing.copy_paste import CopyPaste
from datamodules.augmentation.mixing.mixup import MixUp
from datamodules.augmentation.mixing.mosaic import Mosaic
from datamodules.augmentation.mixing.scale_jitter import ScaleJitter

__all__ = ["CopyPaste", "MixUp", "Mixing", "Mosaic", "ScaleJitter"]
