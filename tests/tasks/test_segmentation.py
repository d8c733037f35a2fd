import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from datamodules import Shapes, VOCSegmentationDataModule
from lit_cv.errors import UserError
from lit_cv.metrics.facts import LOSS, SHARE, Fact
from lit_cv.models.segmentation.segmenter import Segmenter
from lit_cv.ops.upsampling import checkerboard
from lit_cv.renderers import MaskRenderer
from lit_cv.tasks import SegmentationTask


class Small(Segmenter):
    """A network of two convolutions and a transposed one that counts its forward passes."""

    upsampling_stride = 2
    divisible = 2

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__(num_classes, max_size=1000)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(16, num_classes, 2, stride=2),
        )
        self.passes = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.passes += 1
        return self.layers(pixels)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> VOCSegmentationDataModule:
    folder = tmp_path_factory.mktemp("shapes")
    return VOCSegmentationDataModule(
        str(folder), source="shapes", batch_size=3, shapes=Shapes(train=9, val=5, size=48), seed=0
    )


def trainer(**options: object) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )


def test_an_epoch_measures_all_images_in_one_pass_each(data: VOCSegmentationDataModule) -> None:
    torch.manual_seed(0)
    task = SegmentationTask(Small())
    (logged,) = trainer().validate(task, data, verbose=False)
    assert task.network.passes == 2  # five images in batches of three

    jaccard = MulticlassJaccardIndex(4, average=None, ignore_index=255)
    wanted_pixels = hits = 0
    patterns, losses = [], []
    for images, targets in data.val_dataloader():
        output = task.network.evaluate(images, targets)
        patterns += [checkerboard(scores[None], 2) for scores in output.outputs]
        losses += [output.losses["cross_entropy"]] * len(images)
        for found, target in zip(output.found, targets, strict=True):
            jaccard.update(found["mask"].long()[None], target["mask"].long()[None])
            known = target["mask"] != 255
            wanted_pixels += int(known.sum())
            hits += int((found["mask"] == target["mask"])[known].sum())
    assert logged["val/pixel_accuracy"] == pytest.approx(hits / wanted_pixels)
    expected = jaccard.compute().tolist()
    assert [logged[f"val/iou/{name}"] for name in ("background", *data.class_names)] == pytest.approx(expected)
    assert logged["val/miou"] == pytest.approx(np.mean(expected))
    assert logged["val/checkerboard"] == pytest.approx(torch.stack(patterns).mean().item(), rel=1e-5)
    assert logged["val/checkerboard"] > 0
    assert logged["val/loss"] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    facts = task.logged_metrics()
    assert set(logged) == {name for name in facts if name.startswith("val/")}
    assert facts["val/miou"] == Fact(percent=True, higher_is_better=True, trivial=1 / (len(data.class_names) + 1))
    assert (facts["val/iou/background"], facts["val/checkerboard"]) == (SHARE, LOSS)

    (again,) = trainer().validate(task, data, verbose=False)
    assert again == logged  # the metrics were reset after the first epoch


def test_a_network_for_other_classes_is_refused(data: VOCSegmentationDataModule) -> None:
    with pytest.raises(UserError, match=r"num_classes: 4 .* instead of 21"):
        trainer().validate(SegmentationTask(Small(21)), data, verbose=False)


def weights_after_training(data: VOCSegmentationDataModule) -> dict[str, Tensor]:
    L.seed_everything(3, verbose=False)
    task = SegmentationTask(Small(), optimizer=lambda params: torch.optim.SGD(params, lr=0.1))
    trainer(max_epochs=2, deterministic=True, num_sanity_val_steps=0).fit(task, data)
    torch.use_deterministic_algorithms(False)
    return task.network.state_dict()


@pytest.mark.slow
def test_two_trainings_are_equal(data: VOCSegmentationDataModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    start = Small().state_dict()
    first, second = weights_after_training(data), weights_after_training(data)
    for name, weight in first.items():
        assert torch.equal(weight, second[name])
        assert not torch.equal(weight, start[name])


def test_the_renderer_knows_the_classes() -> None:
    task = SegmentationTask(Small())
    task.class_names = ["circle", "square", "triangle"]
    renderer = task.renderer(0.3)
    assert isinstance(renderer, MaskRenderer)
    assert renderer.class_names == task.class_names
