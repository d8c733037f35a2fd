"""Masks in other number formats, masks of a single class in white, and pixels that no class has."""

from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules import VOCSegmentationDataModule
from lit_cv.errors import UserError
from lit_cv.ops.palette import voc_colors
from tests.datamodules.voc.test_segmentation import names, opened, picture_file, read_indices, samples, year


def rewrite(root: Path, change: Any, splits: tuple[str, ...] = ("train", "val")) -> dict[str, np.ndarray]:
    """Write each mask as ``change`` of its indices; return the indices by image."""
    masks = {}
    for name in [name for split in splits for name in names(root, split)]:
        file = year(root) / "SegmentationClass" / f"{name}.png"
        masks[name] = read_indices(file)
        Image.fromarray(change(masks[name])).save(file)
    return masks


def white(mask: np.ndarray) -> np.ndarray:
    return np.where((mask > 0) & (mask < 255), 255, 0).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_indices_in_16_and_8_bits_are_read(voc_root: Path, dtype: type) -> None:
    masks = rewrite(voc_root, lambda mask: mask.astype(dtype))
    with Image.open(year(voc_root) / "SegmentationClass" / f"{names(voc_root)[0]}.png") as image:
        assert image.mode == ("L" if dtype is np.uint8 else "I;16")
    for name, (_, target) in zip(names(voc_root), samples(opened(voc_root)), strict=True):
        assert target["mask"].dtype == torch.uint8
        assert np.array_equal(target["mask"].numpy(), masks[name])


def test_masks_of_one_bit_are_read(voc_root: Path) -> None:
    masks = rewrite(voc_root, lambda mask: white(mask) > 0)
    (voc_root / "VOCdevkit" / "classes.txt").write_text("thing\n")
    for name, (_, target) in zip(names(voc_root), samples(opened(voc_root)), strict=True):
        assert np.array_equal(target["mask"].numpy(), white(masks[name]) // 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_gray_masks_saved_in_color_are_read(voc_root: Path, mode: str) -> None:
    masks = rewrite(voc_root, lambda mask: np.asarray(Image.fromarray(mask).convert(mode)))
    for name, (_, target) in zip(names(voc_root), samples(opened(voc_root)), strict=True):
        assert np.array_equal(target["mask"].numpy(), masks[name])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda mask: voc_colors()[mask], r"has colors such as \(128, 0, 0\), VOC's color of index 1, instead"),
        (lambda mask: np.stack((mask, mask, mask + 3), axis=2), r"has colors such as \(0, 0, 3\) instead of class"),
        (lambda mask: np.stack((mask, mask), axis=2), "has transparent pixels: save it without alpha"),
    ],
)
def test_colors_that_are_no_indices_are_named(voc_root: Path, change: Any, reason: str) -> None:
    rewrite(voc_root, lambda mask: change(np.minimum(mask, 1)))
    with pytest.raises(UserError, match=rf"\.png {reason}"):
        opened(voc_root)


def test_colors_of_16_bits_are_not_halved(voc_root: Path) -> None:
    pixels = np.ones((64, 64, 3), np.uint16)  # Pillow reads the upper bytes, 0
    cv2.imwrite(str(year(voc_root) / "SegmentationClass" / f"{names(voc_root)[0]}.png"), pixels)
    with pytest.raises(UserError, match=r"\.png has colors \(mode RGB\) instead of class indices"):
        opened(voc_root)


@pytest.mark.parametrize(("value", "dtype"), [(65535, np.uint16), (256, np.uint16), (200, np.uint8), (4, np.uint16)])
def test_values_beyond_the_classes_offer_to_be_mapped(voc_root: Path, value: int, dtype: type) -> None:
    masks = rewrite(voc_root, lambda mask: np.where(mask == 255, dtype(value), mask.astype(dtype)))
    message = (
        rf"\.png has the index {value}, but classes are 0\.\.3 and void is 255: .* mask_values, such as {{{value}: 1}}"
    )
    with pytest.raises(UserError, match=message):
        opened(voc_root)
    data = opened(voc_root, mask_values={value: 255, 2: 1, 1: 2})
    for name, (_, target) in zip(names(voc_root), samples(data), strict=True):
        assert np.array_equal(target["mask"].numpy(), np.array([0, 2, 1, 3] + [255] * 252)[masks[name]])


def test_a_class_in_white_is_refused_until_its_value_is_given(
    voc_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = rewrite(voc_root, white)
    (voc_root / "VOCdevkit" / "classes.txt").write_text("thing\n")
    data = VOCSegmentationDataModule(str(voc_root), batch_size=2)
    data.prepare_data()
    with pytest.raises(UserError, match=r"masks of train_sets hold only 0 and 255 .*mask_values .*\{255: 1\}"):
        data.setup("fit")
    assert "note: " in capsys.readouterr().err  # the same about val_sets
    assert [found.kind for found in data.survey("val").defects] == ["masks without a class"]
    mapped = opened(voc_root, mask_values={255: 1})
    for name, (_, target) in zip(names(voc_root), samples(mapped), strict=True):
        assert np.array_equal(target["mask"].numpy(), white(masks[name]) // 255)
    assert "note: " not in capsys.readouterr().err
    assert mapped.survey("train").defects == []


def test_background_alone_in_the_validation_is_said(voc_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(voc_root, np.zeros_like, splits=("val",))
    data = opened(voc_root)
    assert "note: " in (told := capsys.readouterr().err)
    assert "the masks of val_sets hold only 0 " in told
    assert len(list(data.train_dataloader())) == 5


@pytest.mark.parametrize("values", [{255: 4}, {9: 254}, {1: -1}])
def test_a_mapping_to_no_class_is_refused(voc_root: Path, values: dict[int, int]) -> None:
    with pytest.raises(UserError, match=r"mask_values gives the class -?\d+, but classes are 0\.\.3, void is 255"):
        opened(voc_root, mask_values=values)


@pytest.mark.filterwarnings("ignore")
def test_the_mapping_can_be_given_in_yaml(voc_root: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(VOCSegmentationDataModule, "data")
    options = yaml.safe_load("mask_values: {255: 1, 128: 2}") | {"root": str(voc_root)}
    data = parser.instantiate_classes(parser.parse_object({"data": options})).data
    assert data.mask_values == {255: 1, 128: 2}
    data = parser.instantiate_classes(parser.parse_args(["--data.root=x", "--data.mask_values={255: 1}"])).data
    assert data.mask_values == {255: 1}


def test_a_mask_of_the_upright_picture_is_told_from_a_wrong_one(voc_root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 40)).save(picture_file(voc_root), exif=exif)
    Image.fromarray(np.ones((64, 40), np.uint8)).save(
        year(voc_root) / "SegmentationClass" / f"{names(voc_root)[0]}.png"
    )
    with pytest.raises(UserError, match=r"is 64x40 pixels as stored and 40x64 upright \(EXIF orientation 6\)"):
        opened(voc_root)


@pytest.mark.parametrize("value", [7, 254, 0.5])
def test_a_fill_that_is_no_class_is_refused(generated: Path, value: float) -> None:
    turned = A.OneOf([A.HorizontalFlip(), A.Rotate(fill_mask=value)])
    with pytest.raises(UserError, match=rf"has Rotate, whose fill_mask is {value}, but classes are 0\.\.3"):
        opened(generated, augmentation=[turned])
    opened(generated, augmentation=[A.Rotate(fill_mask=255), A.Affine(fill_mask=3)])
