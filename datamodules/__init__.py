"""Lightning DataModules, one file per data set."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # its import asks the network for a newer version otherwise

from datamodules.folder import ImageFolderDataModule
from datamodules.shapes import Shapes
from datamodules.voc import VOCDetectionDataModule

__all__ = ["ImageFolderDataModule", "Shapes", "VOCDetectionDataModule"]
