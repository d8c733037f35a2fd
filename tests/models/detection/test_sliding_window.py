from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms

from datamodules import VOCDetectionDataModule
from lit_cv.errors import UserError
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.models import SlidingWindowDetector
from lit_cv.models.detection.sliding_window import crop_windows, slide_windows
from lit_cv.models.images import batch_objects
from tests.helpers.scenes import CLASSES, one_square, overfit, scene

MIXED = [(70, 90), (128, 100), (60, 128)]


def detector(**options: object) -> SlidingWindowDetector:
    torch.manual_seed(0)
    sizes = {"size": 32, "min_size": 96, "max_size": 128, "stride": 0.5, "windows_per_image": 16}
    return SlidingWindowDetector(CLASSES, **{"backbone": "tiny", **sizes, **options})  # type: ignore[arg-type]


def test_windows_of_a_square_image_by_hand() -> None:
    windows = slide_windows((8, 8), scales=[0.5, 1.0], ratios=[1.0, 4.0], stride=0.5)
    small = [[x, y, x + 4, y + 4] for y in (0, 2, 4) for x in (0, 2, 4)]
    narrow = [[x, 0, x + 2, 8] for x in (0, 1, 2, 3, 4, 5, 6)]  # twice as high and half as wide
    # ratio 4 and the image's area: limited to the image's height, 4 wide
    tall = [[x, 0, x + 4, 8] for x in (0, 2, 4)]
    assert windows.tolist() == [*small, *narrow, [0, 0, 8, 8], *tall]


def test_windows_of_a_wide_image_by_hand() -> None:
    # The square root of the area is 8: squares of 4, and squares of 8 that are limited to the height.
    windows = slide_windows((4, 16), scales=[0.5, 1.0, 4.0, 5.0], ratios=[1.0], stride=0.5)
    squares = [[x, 0, x + 4, 4] for x in range(0, 13, 2)]
    assert windows.tolist() == [*squares, *[[x, 0, x + 8, 4] for x in (0, 4, 8)], [0, 0, 16, 4]]


def test_windows_spread_evenly_to_both_edges() -> None:
    windows = slide_windows((11, 11), scales=[4 / 11], ratios=[1.0], stride=0.5)
    # 7 pixels in steps of at most 2: four steps of 1.75
    assert windows[:5, 0].tolist() == pytest.approx([0, 1.75, 3.5, 5.25, 7])
    assert len(windows) == 25


def test_the_number_of_windows_hardly_depends_on_the_image() -> None:
    counts = [len(slide_windows(size, [0.15, 0.4, 1.0], [0.5, 1.0, 2.0], 0.33)) for size in [(96, 128), (960, 1280)]]
    assert counts[0] == counts[1]
    assert len(slide_windows((1, 2000), [0.15, 1.0], [1.0], 0.5)) < 1000


def test_a_crop_is_a_slice_averaged_or_interpolated() -> None:
    image = torch.randn(3, 20, 24)
    windows = torch.tensor([[5.0, 2.0, 13.0, 10.0], [4.0, 1.0, 20.0, 17.0], [0.0, 12.0, 16.0, 20.0]])
    crops = crop_windows(image, windows, 8)
    torch.testing.assert_close(crops[0], image[:, 2:10, 5:13])
    torch.testing.assert_close(crops[1], F.avg_pool2d(image[:, 1:17, 4:20], 2))
    torch.testing.assert_close(crops[2], F.avg_pool2d(image[:, 12:20, 0:16], (1, 2)))
    twice = crop_windows(image, torch.tensor([[8.0, 8.0, 12.0, 12.0]]), 8)[0]
    expected = F.interpolate(image[None, :, 7:13, 7:13], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(twice, expected[0, :, 2:-2, 2:-2])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    inter = np.prod(np.clip(high - low, 0, None))
    return float(inter / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - inter))


def test_sampled_windows_have_the_class_of_their_object() -> None:
    network = detector(windows_per_image=24)
    images, targets = scene([3, 0, 2], MIXED)
    batch = network.batch(images)
    objects = batch_objects(targets, batch, network.num_classes)
    windows, classes = network.sample(batch, objects)
    assert [len(part) for part in windows] == [24, 24, 24]
    positives = []
    for image, (part, labels) in enumerate(zip(windows, classes.split(24), strict=True)):
        boxes = objects.boxes_of(image).numpy()
        for window, label in zip(part.numpy(), labels.tolist(), strict=True):
            overlaps = [overlap(window, box) for box in boxes]
            shown = bool(overlaps) and max(overlaps) >= 0.5
            assert label == (int(targets[image]["labels"][int(np.argmax(overlaps))]) if shown else 0)
        positives.append(int((labels > 0).sum()))
        height, width = batch.sizes[image]
        assert ((part >= 0) & (part <= torch.tensor([width, height, width, height]) + 1e-4)).all()
    assert positives == [6, 0, 6]  # a quarter, if the image has objects


def test_an_image_with_too_few_windows_gives_fewer() -> None:
    network = detector(window_scales=[1.0], window_ratios=[1.0], windows_per_image=8)
    images = [torch.zeros(3, 96, 96, dtype=torch.uint8)]
    targets = [{"boxes": torch.tensor([[0.0, 0.0, 96.0, 96.0]]), "labels": torch.tensor([2])}]
    batch = network.batch(images)
    _, classes = network.sample(batch, batch_objects(targets, batch, network.num_classes))
    # The only window is the object: no window is background, and a quarter of eight is two.
    assert classes.tolist() == [2, 2]
    _fix_logits(network, torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1]))
    assert network.losses(images, targets)["window_class"].item() == pytest.approx(-np.log(0.4), rel=1e-5)


def _fix_logits(network: SlidingWindowDetector, probabilities: Tensor) -> None:
    torch.nn.init.zeros_(network.class_head.weight)
    network.class_head.bias.data.copy_(probabilities.log())


def test_the_loss_is_the_mean_cross_entropy_of_the_windows() -> None:
    network = detector()
    probabilities = torch.tensor([0.5, 0.2, 0.1, 0.15, 0.05])
    _fix_logits(network, probabilities)
    images, targets = scene([2, 0, 1], MIXED)
    batch = network.batch(images)
    torch.manual_seed(1)
    _, classes = network.sample(batch, batch_objects(targets, batch, network.num_classes))
    torch.manual_seed(1)
    found = network.losses(images, targets)["window_class"]
    assert len(classes.unique()) > 1
    torch.testing.assert_close(found, -probabilities.log()[classes].mean())


def test_detections_are_the_windows_that_nms_keeps() -> None:
    network = detector(window_scales=[0.5, 1.0], window_batch=7, score_threshold=0.2, nms_threshold=0.4)
    torch.nn.init.normal_(network.class_head.weight, std=0.3)
    (image,), _ = scene([0], [(96, 128)])
    (found,) = network.predict([image])
    pixels = network.batch([image]).pixels[0]
    windows = slide_windows((96, 128), [0.5, 1.0], [0.5, 1.0, 2.0], 0.5)
    with torch.no_grad():
        maps = [network.backbone(crop_windows(pixels, window[None], 32)) for window in windows]
        scores = network.class_head(torch.cat([network.head(part)["pool5"] for part in maps])).softmax(dim=1)
    boxes, labels = windows.repeat_interleave(CLASSES - 1, 0), torch.arange(1, CLASSES).repeat(len(windows))
    flat = scores[:, 1:].flatten()
    likely = flat > 0.2
    kept = batched_nms(boxes[likely], flat[likely], labels[likely], 0.4)
    assert len(kept) > 5
    assert torch.equal(found["labels"], labels[likely][kept])
    torch.testing.assert_close(found["scores"], flat[likely][kept], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["boxes"], boxes[likely][kept])


def test_an_image_has_the_same_detections_alone_and_in_a_batch() -> None:
    network = detector()
    images, _ = scene([0, 0, 0], MIXED)
    for image, found in zip(images, network.predict(images), strict=True):
        (alone,) = network.predict([image])
        torch.testing.assert_close(alone["scores"], found["scores"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"window_scales": []}, {"window_ratios": [1.0, 0.0]}, {"stride": -0.5}])
def test_windows_without_extent_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="at least one scale and one ratio"):
        detector(**options)


@pytest.mark.slow
def test_it_overfits_squares() -> None:
    network = detector(window_scales=[0.4], window_ratios=[1.0], stride=0.33)
    images, targets = one_square()

    def check() -> None:
        for found, target in zip(network.predict(images), targets, strict=True):
            assert found["labels"][0] == target["labels"][0]
            assert found["scores"][0] > 0.8
            assert overlap(found["boxes"][0].numpy(), target["boxes"][0].numpy()) >= 0.5

    overfit(network, images, targets, 100, check)


@pytest.mark.long
def test_it_overfits_eight_real_images(real_data: Path) -> None:
    voc = VOCDetectionDataModule(
        str(real_data), train_sets=["2012_train"], val_sets=["2012_val"], batch_size=8, num_workers=0
    )
    voc.prepare_data()
    voc.setup("fit")
    images, targets = next(iter(voc.val_dataloader()))
    torch.manual_seed(0)
    weights = str(real_data / "weights" / "squeezenet1_0_imagenet.pth")
    network = SlidingWindowDetector(21, weights=weights, channels_last=True, stride=0.5, windows_per_image=32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-4, total_steps=70)
    for _ in range(70):
        with torch.autocast("cpu", torch.bfloat16):
            loss = network.losses(images, targets)["window_class"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    metric = COCOAveragePrecision(class_names=list(voc.class_names))
    metric.update(network.predict(images), targets)
    assert metric.compute()["map_50"] >= 0.5
