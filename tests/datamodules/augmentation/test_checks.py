"""Transforms that no network can take are refused by name; groups of transforms work in every DataModule."""

import warnings
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from datamodules import (
    COCODetectionDataModule,
    COCOInstanceDataModule,
    COCOKeypointDataModule,
    VisualGenomeDataModule,
    VOCDetectionDataModule,
    VOCLocalizationDataModule,
    VOCSegmentationDataModule,
)
from datamodules.augmentation.checks import Misfit
from datamodules.augmentation.presets import Augmentation, ColorAugmentation, MaskAugmentation
from datamodules.base import DataModule
from datamodules.loading.dataset import to_tensor
from lit_cv.errors import UserError

BOXES = [COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule, VOCDetectionDataModule]
KINDS = [*BOXES, VOCLocalizationDataModule, VOCSegmentationDataModule, VisualGenomeDataModule]
GROUPS = """
- class_path: albumentations.OneOf
  init_args:
    p: 1.0
    transforms:
    - class_path: albumentations.RandomBrightnessContrast
    - class_path: albumentations.Sequential
      init_args:
        p: 1.0
        transforms:
        - class_path: albumentations.GaussianBlur
        - class_path: albumentations.HueSaturationValue
- class_path: albumentations.SomeOf
  init_args:
    n: 1
    transforms: [{class_path: albumentations.ToGray}, {class_path: albumentations.RandomGamma}]
"""


class LateFloat(A.ImageOnlyTransform):  # type: ignore[misc]
    """Returns float pixels of wide images only."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return img.astype(np.float32) if img.shape[1] > 64 else img


class Taller(A.ImageOnlyTransform):  # type: ignore[misc]
    """Resizes the image, but none of its targets."""

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return np.repeat(img, 2, axis=0) if img.shape[0] > self.from_rows else img

    def __init__(self, from_rows: int = 0, p: float = 1) -> None:
        super().__init__(p=p)
        self.from_rows = from_rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("transform", "sentence"),
    [
        (A.Normalize(), "has Normalize, which makes the image float32: take it out"),
        (A.ToFloat(p=0.01), "has ToFloat, which makes the image float32"),
        (A.ToTensorV2(), "has ToTensorV2, which "),
        (A.ToGray(num_output_channels=1), r"has ToGray, which returns an image of shape \(64, 64"),
        (A.OneOf([A.Blur(), A.Sequential([A.FromFloat()])]), "has FromFloat, which makes the image float16"),
        (A.FDA(), "has FDA, which needs fda_metadata"),
        (A.OneOf([Taller()]), "has Taller, (which makes 64x128 pixels of 64x64 but|after which the mask)"),
    ],
)
def test_a_transform_that_no_network_takes_is_refused_by_name(kind: Any, transform: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        kind("nowhere", augmentation=[A.RandomBrightnessContrast(), transform])


@pytest.mark.parametrize("targets", [Augmentation, MaskAugmentation, ColorAugmentation])
def test_a_result_that_only_some_images_give_is_refused_at_the_image(targets: Any) -> None:
    augment = targets([A.Blur(p=0), LateFloat(p=1)])
    extra: dict[Any, Any] = {
        Augmentation: [np.zeros((0, 4), np.float32)],
        MaskAugmentation: [np.zeros((9, 65), np.uint8)],
    }
    with pytest.raises(Misfit, match="has LateFloat, which makes the image float32"):
        augment(np.zeros((9, 65, 3), np.uint8), *extra.get(targets, []), 0)


def test_an_image_that_is_resized_without_its_boxes_is_refused() -> None:
    augment = Augmentation([Taller(from_rows=64)])  # more rows than the sample of the trial
    with pytest.raises(Misfit, match="has Taller, which makes 65x160 pixels of 65x80 but"):
        augment(np.zeros((80, 65, 3), np.uint8), np.zeros((0, 4), np.float32), 0)


def test_transforms_of_colors_alone_give_no_warning_about_boxes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Augmentation([A.RandomBrightnessContrast()])


@pytest.mark.parametrize("image", [np.zeros((4, 5, 3), np.float32), np.zeros((4, 5, 1), np.uint8)])
def test_no_tensor_is_made_of_other_pixels(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="after its augmentation"):
        to_tensor(image)


@pytest.mark.parametrize(
    "name", ["Affine", "Rotate", "Perspective", "ElasticTransform", "GridDistortion", "RandomScale"]
)
def test_interpolated_class_indices_are_refused(name: str) -> None:
    MaskAugmentation([getattr(A, name)(fill_mask=255) if name != "RandomScale" else A.RandomScale()])
    bilinear = getattr(A, name)(mask_interpolation=1)
    with pytest.raises(UserError, match=f"has {name}, which interpolates class indices of masks: set its mask_int"):
        VOCSegmentationDataModule("nowhere", augmentation=[A.OneOf([A.HorizontalFlip(), bilinear])])
    Augmentation([bilinear])  # boxes have no mask


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (
            A.Affine(mask_interpolation=1),
            "has Affine, which interpolates the masks of objects: set its mask_interpolation",
        ),
        (A.OneOf([A.RandomScale(mask_interpolation=2)]), "has RandomScale, which interpolates the masks of objects"),
        (
            A.Rotate(fill_mask=255),
            "has Rotate, which adds new pixels to the mask of every object: set its fill_mask to 0",
        ),
        (A.PadIfNeeded(fill_mask=1), "has PadIfNeeded, which adds new pixels"),
    ],
)
def test_the_masks_of_objects_are_neither_interpolated_nor_filled(transform: Any, reason: str) -> None:
    for kind, options in ((COCOInstanceDataModule, {}), (COCOKeypointDataModule, {"masks": True})):
        with pytest.raises(UserError, match=reason):
            kind("nowhere", augmentation=[A.HorizontalFlip(), transform], **options)
    COCOKeypointDataModule("nowhere", augmentation=[transform])  # without masks
    COCOInstanceDataModule("nowhere", augmentation=[A.Affine(), A.CoarseDropout(), A.PadIfNeeded(fill_mask=0)])


def test_a_transform_of_ones_own_that_interpolates_is_refused() -> None:
    class Halved(A.DualTransform):  # type: ignore[misc]
        def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
            return img // 2

    with pytest.raises(UserError, match="has Halved, which interpolates"):
        MaskAugmentation([Halved()])


@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCLocalizationDataModule, VOCSegmentationDataModule])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_crop_larger_than_the_image_names_transform_image_and_sizes(generated: Path, kind: Any, workers: int) -> None:
    data = kind(str(generated), num_workers=workers, augmentation=[A.OneOf([A.RandomCrop(300, 200, p=1)], p=1)])
    data.prepare_data()
    data.setup()
    with pytest.raises(UserError, match=r"^[^ ]+shape_\d+\.jpg: augmentation has RandomCrop, which fails on 64x64 pix"):
        list(data.train_dataloader())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCSegmentationDataModule])
def test_groups_of_transforms_in_yaml_change_samples_as_the_seed_says(
    generated: Path, kind: type[DataModule[Any]]
) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "data")
    options = {"root": str(generated), "augmentation": yaml.safe_load(GROUPS), "seed": 1}
    parsed = parser.parse_object({"data": options})
    opened = [parser.instantiate_classes(parsed).data for _ in range(2)]
    for data in opened:
        data.prepare_data()
        data.setup()
    first, again = (data.dataset(data.splits["train"], training=True) for data in opened)
    plain = opened[0].dataset(opened[0].splits["train"], training=False)
    assert all(torch.equal(first[0, i][0], again[0, i][0]) for i in (3, 1, 2))
    assert not torch.equal(first[0, 3][0], first[1, 3][0])
    assert not torch.equal(first[0, 3][0], plain[0, 3][0])


def test_boxes_follow_a_group() -> None:
    flips = A.Sequential([A.SomeOf([A.HorizontalFlip(p=1)], n=1, p=1), A.OneOf([A.VerticalFlip(p=1)], p=1)], p=1)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    boxes = np.array([[0, 0, 10, 20], [5, 30, 50, 40]], dtype=np.float32)
    turned, moved, rows, proposals = Augmentation([flips]).with_proposals(image, boxes, boxes[:1], 0)
    assert np.array_equal(turned, image[::-1, ::-1])
    np.testing.assert_allclose(moved, [[40, 20, 50, 40], [0, 0, 45, 10]], atol=1e-3)
    assert rows.tolist() == [0, 1]
    np.testing.assert_allclose(proposals, [[40, 20, 50, 40]], atol=1e-3)


def test_a_group_that_loses_a_box_keeps_the_rows_of_the_others() -> None:
    crop = A.Sequential([A.Crop(0, 0, 20, 20, p=1), A.HorizontalFlip(p=1)], p=1)
    boxes = np.array([[30, 30, 40, 38], [2, 3, 10, 12]], dtype=np.float32)
    image, moved, rows = Augmentation([crop])(np.zeros((40, 50, 3), np.uint8), boxes, 0)
    assert image.shape == (20, 20, 3)
    assert rows.tolist() == [1]
    np.testing.assert_allclose(moved, [[10, 3, 18, 12]], atol=1e-3)


def test_a_phrase_keeps_its_image_in_a_group_too() -> None:
    with pytest.raises(UserError, match="has HorizontalFlip, which may move pixels"):
        VisualGenomeDataModule("nowhere", augmentation=[A.OneOf([A.Blur(), A.HorizontalFlip()])])
