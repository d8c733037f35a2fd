"""The contract test accepts the project's detectors and catches each mistake."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_cv.models import FCOS, SSD, FasterRCNN, FastRCNN, RetinaNet
from lit_cv.models.images import batch_objects
from lit_cv.testing import check_detector

SMALL = {"num_classes": 4, "backbone": "tiny", "min_size": 96, "max_size": 128}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (SSD, {"num_classes": 4, "backbone": "tiny", "size": 96, "anchor_ratios": [[2.0]] * 3}),
        (RetinaNet, {**SMALL, "channels": 64}),
        (FCOS, {**SMALL, "channels": 64}),
        (FasterRCNN, {**SMALL, "head_features": 32, "roi_batch": 16}),
        (FastRCNN, {**SMALL, "head_features": 32, "roi_batch": 16}),
    ],
)
def test_the_projects_detectors_keep_the_contract(kind: type, settings: dict[str, Any]) -> None:
    check_detector(kind, **settings)


class Own(RetinaNet):
    """A correct detector; each subclass makes one mistake."""

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, backbone="tiny", channels=64, min_size=96, max_size=128, **options)


class PerProcess(Own):
    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        losses = super().losses(images, targets)
        objects = batch_objects(targets, self.batch(images), self.num_classes)
        return {**losses, "box": losses["box"] * len(targets) / max(1, sum(objects.counts))}


class OtherNames(Own):
    loss_names = ("class", "sides")


class VectorLoss(Own):
    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: loss[None] for name, loss in super().losses(images, targets).items()}


class NotFinite(Own):
    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        count = sum(len(target["labels"]) for target in targets)
        return {name: loss / count for name, loss in super().losses(images, targets).items()}


class HalfPrecision(Own):
    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        low = torch.is_autocast_enabled("cpu")
        return {name: loss.bfloat16() if low else loss for name, loss in super().losses(images, targets).items()}


class Unused(Own):
    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, **options)
        self.extra = nn.Linear(1, 1)


class NoMemoryFormat(Own):
    def use_memory_format(self) -> None:
        pass


class Outside(Own):
    def _predict(self, images: list[Tensor]) -> list[Any]:
        found = super()._predict(images)
        return [{**one, "boxes": one["boxes"] + 500} for one in found]


class Background(Own):
    def _predict(self, images: list[Tensor]) -> list[Any]:
        return [{**one, "labels": one["labels"] - 4} for one in super()._predict(images)]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (PerProcess, "losses of two processes.*shared_count"),
        (OtherNames, "loss_names"),
        (VectorLoss, "is no scalar"),
        (NotFinite, r"the loss \w+ is (nan|inf)"),
        (HalfPrecision, "bfloat16 under autocast"),
        (Unused, "no loss reaches .*extra"),
        (NoMemoryFormat, "channels_last has no effect"),
        (Outside, "boxes leave the image"),
        (Background, "beyond 1..C"),
    ],
)
def test_each_mistake_is_named(kind: type[Own], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_detector(kind, num_classes=4, score_threshold=0.0)
