"""Lightning DataModules, one folder per data set."""

import datamodules.augmentation.offline_import  # noqa: F401  (before all modules that import albumentations)
from datamodules.boxes.proposals import Proposals
from datamodules.coco.datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.folder import ImageFolderDataModule
from datamodules.pose.lsp import LSPPoseDataModule
from datamodules.pose.mpii import MPIIPoseDataModule
from datamodules.shapes.settings import Shapes
from datamodules.visual_genome.captions import COCOCaptionDataModule
from datamodules.visual_genome.datamodule import VisualGenomeDataModule
from datamodules.voc.detection import VOCDetectionDataModule
from datamodules.voc.localization import VOCLocalizationDataModule
from datamodules.voc.segmentation import VOCSegmentationDataModule
from datamodules.yolo.datamodule import YOLODetectionDataModule, YOLOInstanceDataModule

__all__ = [
    "COCOCaptionDataModule",
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
    "YOLODetectionDataModule",
    "YOLOInstanceDataModule",
]
