"""Parts of an experiment that raise a `UserError` at one place each; an experiment names them by class_path."""

from typing import Any, NoReturn

import lightning as L
import torch
from albumentations import NoOp
from torch.utils.data import Dataset

from datamodules import VOCDetectionDataModule
from lit_cv.errors import UserError
from lit_cv.models import SSD
from lit_cv.tasks import DetectionTask


def fail(place: str) -> NoReturn:
    raise UserError(f"the {place} fails on purpose;\nremove it.")


class FailingNetwork(SSD):
    def __init__(self, num_classes: int | None) -> None:
        fail("network")


class FailingLoss(SSD):
    def losses(self, *args: Any) -> NoReturn:
        fail("loss")


class FailingTransform(NoOp):
    def __init__(self) -> None:
        fail("transform")


class FailingOptimizer(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        fail("optimizer")


class FailingMetric(DetectionTask):
    def compute_metrics(self) -> NoReturn:
        fail("metric")


class FailingSetup(VOCDetectionDataModule):
    def setup(self, stage: str | None = None) -> None:
        fail("setup")


class FailingSamples(Dataset):
    def __getitem__(self, key: Any) -> NoReturn:
        fail("sample")


class FailingLoader(VOCDetectionDataModule):
    def dataset(self, packed: Any, training: bool) -> Dataset:
        return FailingSamples()


class FailingCallback(L.Callback):
    def on_train_batch_end(self, *args: Any) -> NoReturn:
        fail("callback")


class FailingCallbackInit(L.Callback):
    def __init__(self) -> None:
        fail("callback's constructor")


class BrokenNetwork(SSD):
    def __init__(self, num_classes: int | None) -> None:
        raise ZeroDivisionError("a bug")
