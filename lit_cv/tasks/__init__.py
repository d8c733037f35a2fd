"""LightningModules: each optimizes a network and evaluates it."""

from lit_cv.tasks.base import Task
from lit_cv.tasks.captioning import CaptioningTask
from lit_cv.tasks.detection import DetectionTask
from lit_cv.tasks.instances import InstanceTask
from lit_cv.tasks.localization import LocalizationTask
from lit_cv.tasks.pose import PoseTask
from lit_cv.tasks.proposals import ProposalTask
from lit_cv.tasks.schedules import OneCycle, RestartingStepLR, WarmupDecayLR, WarmupMultiStepLR
from lit_cv.tasks.segmentation import SegmentationTask
from lit_cv.tasks.tta.settings import TTA

__all__ = [
    "TTA",
    "CaptioningTask",
    "DetectionTask",
    "InstanceTask",
    "LocalizationTask",
    "OneCycle",
    "PoseTask",
    "ProposalTask",
    "RestartingStepLR",
    "SegmentationTask",
    "Task",
    "WarmupDecayLR",
    "WarmupMultiStepLR",
]
