"""LightningModules: what is optimised and measured."""

from lit_cv.tasks.base import Task
from lit_cv.tasks.detection import DetectionTask
from lit_cv.tasks.schedules import WarmupMultiStepLR

__all__ = ["DetectionTask", "Task", "WarmupMultiStepLR"]
