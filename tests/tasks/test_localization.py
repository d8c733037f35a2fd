from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from datamodules import Shapes, VOCLocalizationDataModule
from lit_cv.errors import UserError
from lit_cv.metrics import LocalizationAccuracy
from lit_cv.metrics.facts import ERROR, LOSS, SHARE
from lit_cv.models import LocalizationNet
from lit_cv.renderers import TopBoxRenderer
from lit_cv.renderers.canvas import draw_boxes
from lit_cv.tasks import LocalizationTask, WarmupMultiStepLR

NAMES = ["circle", "square", "triangle"]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def data(root: Path, **options: Any) -> VOCLocalizationDataModule:
    settings = Shapes(train=16, val=5, size=96, seed=2)
    return VOCLocalizationDataModule(str(root), "shapes", shapes=settings, **{"batch_size": 8, **options})


def task(classes: int = 3, **options: Any) -> LocalizationTask:
    torch.manual_seed(0)
    network = LocalizationNet(classes, backbone="tiny", size=64, pool=4, head_features=[128], dropout=0.0)
    return LocalizationTask(
        network,
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-3),
        scheduler=lambda optimizer: WarmupMultiStepLR(optimizer, 10),
        **options,
    )


def trainer(**options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    return L.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, **quiet, **options)


def test_a_validation_logs_every_metric_and_loss(shapes: Path) -> None:
    module = task(loss_weights={"box": 10.0})
    (logged,) = trainer().validate(module, data(shapes), verbose=False)
    facts = module.logged_metrics()
    assert set(logged) == {name for name in facts if name.startswith("val/")}
    assert (facts["val/loc_accuracy"], facts["val/gt_class_error"], facts["val/box"]) == (SHARE, ERROR, LOSS)
    assert logged["val/loss"] == pytest.approx(logged["val/class"] + 10 * logged["val/box"], rel=1e-5)
    assert logged["val/gt_class_error"] == pytest.approx(1 - logged["val/loc_accuracy_top5"])  # there are three classes
    assert module.MONITOR in facts


def test_a_network_with_a_background_class_is_refused(shapes: Path) -> None:
    with pytest.raises(UserError, match=r"num_classes: 3 \(there is no background\) instead of 4"):
        trainer().validate(task(4), data(shapes), verbose=False)


def test_the_first_box_is_drawn_and_the_first_five_are_described() -> None:
    image = torch.zeros(3, 480, 480, dtype=torch.uint8)
    boxes = torch.tensor([[10.0 * i, 20, 200 + 10 * i, 300] for i in range(6)])
    found = {"boxes": boxes, "scores": torch.tensor([0.25, 0.2, 0.2, 0.2, 0.1, 0.05]), "labels": torch.arange(1, 7)}
    target = {"boxes": boxes[3:4], "labels": torch.tensor([2]), "image_id": torch.tensor(7)}
    names = list("abcdef")
    renderer = TopBoxRenderer(names)
    alone = draw_boxes(image, boxes[:1], torch.tensor([1]), names, torch.tensor([0.25]))
    assert (renderer.draw(image, found) == alone).all()
    assert (renderer.draw(image, target) == draw_boxes(image, boxes[3:4], torch.tensor([2]), names)).all()
    row = renderer.describe(found)
    assert row["labels"] == list("abcde")
    assert row["boxes"] == boxes[:5].tolist()
    assert row["scores"] == pytest.approx([0.25, 0.2, 0.2, 0.2, 0.1])
    layers = renderer.media(image, target, found)["boxes"]
    assert [len(layers[name]["box_data"]) for name in ("ground_truth", "predictions")] == [1, 1]


@pytest.mark.slow
def test_a_few_shapes_are_memorized(shapes: Path) -> None:
    module = task(loss_weights={"box": 10.0})
    module.class_names = NAMES
    images = data(shapes, augmentation="none", val_sets=["2012_train"])
    trainer(max_epochs=80, limit_val_batches=0).fit(module, images)
    (logged,) = trainer().validate(module, images, verbose=False)
    assert logged["val/loc_accuracy"] >= 0.95
    assert logged["val/mean_iou"] > 0.75
    image, target = images.val_dataloader().dataset[0, 0]
    assert module.renderer(0.3).describe(module.network.predict([image])[0])["labels"][0] == NAMES[target["labels"] - 1]


@pytest.mark.long
def test_sixteen_real_images_are_memorized(real_data: Path) -> None:
    images = VOCLocalizationDataModule(str(real_data), batch_size=16, augmentation="none", seed=0)
    images.setup()
    batch = next(iter(images.train_dataloader()))
    torch.manual_seed(0)
    weights = str(real_data / "weights" / "squeezenet1_0_imagenet.pth")
    network = LocalizationNet(
        20,
        backbone="squeezenet1_0",
        weights=weights,
        size=112,
        head_features=[256],
        dropout=0.0,
        channels_last=True,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for step in range(1, 61):
        losses = network.losses(*batch)
        optimizer.zero_grad()
        (losses["class"] + 10 * losses["box"]).backward()
        optimizer.step()
        if step % 5 == 0:
            accuracy = LocalizationAccuracy()
            accuracy.update(network.predict(batch[0]), batch[1])
            if accuracy.compute()["loc_accuracy"] >= 0.95:
                return
    pytest.fail(f"{accuracy.compute()}")
