"""Augmentation of objects with masks and joints, and what workers, epochs and shuffled targets do to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule, Proposals
from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import IoUCrop, ZoomOut
from datamodules.coco.augmentation import augment_instances
from datamodules.coco.generated import write_coco
from datamodules.loading.loader import Loader
from tests.datamodules.coco.test_masks import masks_of
from tests.helpers.small_shapes import SETTINGS

Target = dict[str, torch.Tensor]
MIRRORED = np.array([0, 2, 1])  # a nose, a left and a right eye


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("coco") / "coco", SETTINGS)


def opened(kind: type[COCODetectionDataModule], root: Path, **options: Any) -> COCODetectionDataModule:
    data = kind(str(root), **{"batch_size": 2, "seed": 3, **options})  # type: ignore[call-arg, arg-type]
    data.prepare_data()
    data.setup()
    return data


def scene() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """An image whose channels tell x and y, with three objects; their joints lie in pixels (x, y) of their own."""
    y, x = np.mgrid[:30, :40].astype(np.uint8)
    image = np.stack([x * 6, y * 8, x * 0], axis=2)
    masks = np.zeros((3, 30, 40), dtype=np.uint8)
    masks[0, 5:15, 5:20], masks[1, 20:28, 10:15], masks[2, 1:29, 30:38] = 1, 1, 1
    boxes = np.array([[5, 5, 20, 15], [10, 20, 15, 28], [30, 1, 38, 29]], dtype=np.float32)
    joints = np.zeros((3, 3, 3), dtype=np.float32)
    joints[0], joints[2] = [[6, 7, 2], [9, 8, 1], [18, 14, 2]], [[31, 2, 2], [0, 0, 0], [37, 28, 2]]
    columns = {"labels": np.arange(3), "area": masks.sum(axis=(1, 2), dtype=np.float32)}
    return image, {"boxes": boxes, "masks": masks, "keypoints": joints, **columns}


def test_flip_mirrors_masks_boxes_and_joints_and_swaps_the_sides() -> None:
    image, objects = scene()
    flipped, moved = augment_instances(Augmentation([A.HorizontalFlip(p=1)]), image, objects, MIRRORED, 0)
    assert np.array_equal(flipped, image[:, ::-1])
    assert np.array_equal(moved["masks"], objects["masks"][:, :, ::-1])
    np.testing.assert_allclose(moved["boxes"][0], [20, 5, 35, 15], atol=1e-4)
    assert moved["keypoints"][0].tolist() == [[33, 7, 2], [21, 14, 2], [30, 8, 1]]  # what was right is left
    assert moved["keypoints"][2].tolist() == [[8, 2, 2], [2, 28, 2], [0, 0, 0]]
    np.testing.assert_allclose(moved["area"], objects["area"], rtol=1e-5)
    _, back = augment_instances(Augmentation([A.HorizontalFlip(p=1)]), flipped, moved, MIRRORED, 0)
    assert np.array_equal(back["keypoints"], objects["keypoints"])


@pytest.mark.parametrize(
    ("transforms", "swapped"),
    [
        ([A.VerticalFlip(p=1)], True),
        ([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], False),
        ([A.Transpose(p=1)], True),
        ([A.Rotate((90, 90), p=1)], False),
        ([A.PadIfNeeded(60, 60)], False),
        ([A.Resize(60, 80)], False),
        ([A.RandomScale((-0.3, -0.3), p=1), A.HorizontalFlip(p=1)], True),
    ],
    ids=["vertical", "both", "transpose", "rotate", "pad", "resize", "scale and flip"],
)
def test_sides_are_swapped_by_whatever_mirrors(transforms: list[A.BasicTransform], swapped: bool) -> None:
    image, objects = scene()
    _, moved = augment_instances(Augmentation(transforms), image, objects, MIRRORED, 0)
    left_hidden, right_seen = moved["keypoints"][0, 1:, 2].tolist() if not swapped else moved["keypoints"][0, :0:-1, 2]
    assert (left_hidden, right_seen) == (1, 2)


@pytest.mark.parametrize("transform", [ZoomOut(p=1), IoUCrop(), A.RandomCrop(20, 25, p=1)])
def test_masks_and_joints_move_as_the_pixels_do(transform: A.BasicTransform) -> None:
    image, objects = scene()
    for place, (x, y, flag) in enumerate(objects["keypoints"].reshape(-1, 3).astype(int)):
        image[y, x, 2] = 10 * place + 100 if flag else image[y, x, 2]
    seen = lost = 0
    for seed in range(40):
        changed, moved = augment_instances(Augmentation([transform]), image, objects, MIRRORED, seed)
        assert moved["masks"].shape == (len(moved["boxes"]), *changed.shape[:2])
        for box, mask, joints, label in zip(
            *(moved[k] for k in ("boxes", "masks", "keypoints", "labels")), strict=True
        ):
            ys, xs = np.nonzero(mask)
            if len(xs):
                found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                np.testing.assert_allclose(found, box, atol=1e-3)
            for number, (x, y, flag) in enumerate(joints):
                if flag:
                    assert changed[int(y), int(x), 2] == 10 * (3 * label + number) + 100
                seen += flag > 0
                lost += flag == 0 and objects["keypoints"][label, number, 2] > 0
                assert flag or (x == 0 and y == 0)
    assert seen > 60
    assert (lost > 0) == (not isinstance(transform, ZoomOut))


@pytest.mark.parametrize("preset", ["flip", "ssd", "ssd_zoom"])
def test_presets_move_the_objects_of_a_data_set(root: Path, preset: Any) -> None:
    data = opened(COCOKeypointDataModule, root, augmentation=preset, masks=True)
    for index in range(len(data.splits["train"])):
        image, target = data.train_dataloader().dataset[1, index]
        masks = masks_of(target)
        assert masks.shape == (len(target["boxes"]), *image.shape[1:])
        assert target["keypoints"].shape == (len(masks), 17, 3)
        for box, mask in zip(target["boxes"].numpy(), masks, strict=True):
            ys, xs = np.nonzero(mask)
            if len(xs):  # the mask fills its box, or what a patch has left of it
                assert (np.floor(box[:2] + 1e-3) <= [xs.min(), ys.min()]).all()
                assert (np.ceil(box[2:] - 1e-3) >= [xs.max() + 1, ys.max() + 1]).all()


def flat(loader: Loader, epoch: int) -> Iterator[tuple[int, bytes]]:
    loader.batch_sampler.set_epoch(epoch)
    for images, targets in loader:
        for image, target in zip(images, targets, strict=True):
            content = b"".join(value.numpy().tobytes() for _, value in sorted(target.items()))
            yield int(target["image_id"]), image.numpy().tobytes() + content


def test_workers_do_not_change_a_byte_and_epochs_differ(root: Path) -> None:
    options: dict[str, Any] = {"augmentation": "ssd", "masks": True}
    alone = opened(COCOKeypointDataModule, root, **options).train_dataloader()
    workers = opened(COCOKeypointDataModule, root, num_workers=2, **options).train_dataloader()
    epochs = [list(flat(alone, epoch)) for epoch in (0, 1)]
    assert [list(flat(workers, epoch)) for epoch in (0, 1)] == epochs
    assert not set(epochs[0]) & set(epochs[1])


@pytest.mark.parametrize("kind", [COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule])
def test_shuffled_targets_are_those_of_another_image(root: Path, kind: type[COCODetectionDataModule]) -> None:
    options = {"augmentation": "none"} | ({"masks": True} if kind is COCOKeypointDataModule else {})
    own = opened(kind, root, **options).train_dataloader().dataset
    data = opened(kind, root, shuffle_targets=True, **options)
    partners = data.partners(data.splits["train"])
    assert partners is not None
    for index, partner in enumerate(partners.tolist()):
        image, target = data.train_dataloader().dataset[0, index]
        assert torch.equal(image, own[0, index][0])
        wanted = own[0, partner][1]
        assert all(torch.equal(target[key], wanted[key]) for key in wanted if key != "image_id")


def test_a_shuffled_target_takes_the_size_of_its_image(root: Path, tmp_path: Path) -> None:
    """Another image of twice the width gets masks and joints of twice the width."""
    copy = write_coco(tmp_path / "copy", SETTINGS)
    file = copy / "annotations" / "person_keypoints_train2017.json"
    file.write_text(file.read_text().replace('"width": 64', '"width": 128', 1))
    first = next(iter(sorted((copy / "train2017").iterdir())[1:]))  # the first with people
    cv2.imwrite(str(first), np.zeros((64, 128, 3), dtype=np.uint8))
    own = opened(COCOKeypointDataModule, root, augmentation="none", masks=True)
    data = opened(COCOKeypointDataModule, copy, augmentation="none", masks=True, shuffle_targets=True)
    partners = data.partners(data.splits["train"])
    assert partners is not None
    wide = data.train_dataloader().dataset[0, 0][1]
    wanted = own.train_in_order().dataset[0, int(partners[0])][1]
    assert torch.equal(wide["boxes"], wanted["boxes"] * torch.tensor([2.0, 1.0, 2.0, 1.0]))
    assert torch.equal(wide["area"], wanted["area"] * 2)
    assert np.array_equal(masks_of(wide), np.repeat(masks_of(wanted), 2, axis=2))
    seen = wanted["keypoints"][..., 2] > 0
    assert torch.equal(wide["keypoints"][..., 0][seen], wanted["keypoints"][..., 0][seen] * 2)
    assert (wide["keypoints"][..., 0][~seen] == 0).all()


def test_proposals_are_attached_to_boxes(root: Path) -> None:
    data = opened(COCODetectionDataModule, root, augmentation="none", proposals=Proposals("single", 30))
    assert data.counts["train/proposals"] > 50
    for images, targets in data.train_dataloader():
        for image, target in zip(images, targets, strict=True):
            assert 0 < len(target["proposals"]) <= 30
            assert (target["proposals"][:, 2:] <= torch.tensor([image.shape[2], image.shape[1]])).all()


def test_options_reach_every_kind(root: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(COCODetectionDataModule, "data")
    for kind in ("COCODetectionDataModule", "COCOInstanceDataModule", "COCOKeypointDataModule"):
        options = [f"--data=datamodules.{kind}", f"--data.root={root}", "--data.augmentation=ssd", "--data.seed=4"]
        data = parser.instantiate_classes(parser.parse_args(options)).data
        data.prepare_data()
        assert (data.augmentation, data.seed, data.keypoints) == ("ssd", 4, "Keypoint" in kind)
