"""Lightning DataModules, one folder per data set."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # otherwise its import looks for a newer version on the network

from datamodules.boxes.proposals import Proposals
from datamodules.coco.datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.folder import ImageFolderDataModule
from datamodules.pose.lsp import LSPPoseDataModule
from datamodules.pose.mpii import MPIIPoseDataModule
from datamodules.shapes.settings import Shapes
from datamodules.visual_genome.datamodule import VisualGenomeDataModule
from datamodules.voc.detection import VOCDetectionDataModule
from datamodules.voc.localization import VOCLocalizationDataModule
from datamodules.voc.segmentation import VOCSegmentationDataModule

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
