"""Lightning DataModules, one file per data set."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # its import asks the network for a newer version otherwise

from datamodules.coco import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.folder import ImageFolderDataModule
from datamodules.lsp import LSPPoseDataModule
from datamodules.mpii import MPIIPoseDataModule
from datamodules.proposals import Proposals
from datamodules.shapes import Shapes
from datamodules.visual_genome import VisualGenomeDataModule
from datamodules.voc import VOCDetectionDataModule
from datamodules.voc_localization import VOCLocalizationDataModule
from datamodules.voc_segmentation import VOCSegmentationDataModule

__all__ = [
    "COCODetectionDataModule",
    "COCOInstanceDataModule",
    "COCOKeypointDataModule",
    "ImageFolderDataModule",
    "LSPPoseDataModule",
    "MPIIPoseDataModule",
    "Proposals",
    "Shapes",
    "VOCDetectionDataModule",
    "VOCLocalizationDataModule",
    "VOCSegmentationDataModule",
    "VisualGenomeDataModule",
]
