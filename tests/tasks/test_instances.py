"""Logged numbers and refused settings of InstanceTask."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from datamodules import COCOInstanceDataModule, COCOKeypointDataModule, Shapes
from lit_cv.errors import UserError
from lit_cv.models import MaskRCNN
from lit_cv.ops.objects import without_crowds
from lit_cv.tasks import InstanceTask

SHAPES = Shapes(train=4, val=12, size=64, seed=1)
SMALL = {"backbone": "tiny", "neck": "c4", "min_size": 64, "max_size": 64, "head_features": 16, "rpn_post_nms_test": 20}


def trainer(**options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_steps": 1}
    return L.Trainer(accelerator="cpu", enable_model_summary=False, use_distributed_sampler=False, **quiet, **options)


class Told(MaskRCNN):
    """Predict the given targets."""

    told: list[dict[str, Tensor]]

    def predict(self, images: list[Tensor]) -> list[Any]:
        found, self.told = self.told[: len(images)], self.told[len(images) :]
        return [{**target, "scores": torch.ones(len(target["labels"]))} for target in found]


def test_perfect_masks_and_joints_have_an_ap_of_one(tmp_path: Path) -> None:
    data = COCOKeypointDataModule(str(tmp_path / "coco"), "shapes", masks=True, batch_size=4, shapes=SHAPES)
    data.prepare_data()
    data.setup()
    network = Told(2, heads=["mask", "keypoint"], **SMALL)
    network.told = [without_crowds(target) for _, targets in data.val_dataloader() for target in targets]
    task = InstanceTask(network)
    (values,) = trainer().validate(task, data, verbose=False)
    assert values["val/map"] == values["val/mask_map"] == values["val/mask_ap/person"] == 1
    assert values["val/oks_map"] == values["val/oks_map_50"] == values["val/oks_ap/person"] == 1
    assert {f"val/{name}" for name in network.loss_names} < set(values)
    absent = {f"val/{kind}map_{size}" for kind in ("", "mask_", "oks_") for size in ("medium", "large")}
    assert set(values) == {name for name in task.logged_metrics() if name.startswith("val/")} - absent  # all are small
    boxes = InstanceTask(MaskRCNN(2, heads=[], **SMALL)).logged_metrics(["person"])
    assert {"val/map", "val/ap/person"} < set(boxes)
    assert not {"val/mask_map", "val/oks_map", "val/mask_ap/person"} & set(boxes)
    assert task.skeleton is not None
    assert len(task.skeleton["joint_names"]) == 17


def test_crowds_are_in_no_loss(tmp_path: Path) -> None:
    data = COCOInstanceDataModule(str(tmp_path / "coco"), "shapes", batch_size=40, shapes=Shapes(4, 40, 64, seed=1))
    data.prepare_data()
    data.setup()
    batches = data.val_dataloader()
    images, targets = next(batch for batch in batches if any(target["iscrowd"].any() for target in batch[1]))
    seen: list[dict[str, Tensor]] = []
    network = MaskRCNN(5, heads=["mask"], **SMALL)
    losses = network.losses
    network.losses = lambda images, targets: seen.extend(targets) or losses(images, targets)  # type: ignore[method-assign]
    task = InstanceTask(network)
    task.evaluate((images, targets))
    assert sum(int(target["iscrowd"].sum()) for target in seen) == 0
    assert len(seen) == len(targets)


def test_a_network_with_other_joints_is_refused(tmp_path: Path) -> None:
    data = COCOKeypointDataModule(str(tmp_path / "coco"), "shapes", batch_size=2, shapes=SHAPES)
    task = InstanceTask(MaskRCNN(2, heads=["keypoint"], num_keypoints=3, **SMALL))
    with pytest.raises(UserError, match="the data has 17 joints, the network num_keypoints: 3"):
        trainer().fit(task, data)


def test_a_head_without_its_targets_is_refused(tmp_path: Path) -> None:
    data = COCOInstanceDataModule(str(tmp_path / "coco"), "shapes", batch_size=2, shapes=SHAPES)
    task = InstanceTask(MaskRCNN(5, heads=["keypoint"], **SMALL))
    with pytest.raises(UserError, match="needs a DataModule with joint_names, which COCOInstanceDataModule lacks"):
        trainer().fit(task, data)
    data = COCOKeypointDataModule(str(tmp_path / "coco"), "shapes", batch_size=2, shapes=SHAPES)
    task = InstanceTask(MaskRCNN(2, heads=["mask"], **SMALL))
    with pytest.raises(UserError, match="the targets have no mask_runs; leave mask out"):
        trainer().fit(task, data)
