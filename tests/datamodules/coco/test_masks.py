"""Masks against pycocotools."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from datamodules import COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.coco.masks import polygon_runs
from lit_cv.ops.mask_runs import MaskRuns, decode_masks
from lit_cv.ops.rle import decompress_runs
from tests.helpers.small_coco import SQUARE, record, write


def masks_of(target: dict[str, torch.Tensor]) -> np.ndarray:
    height, width = target["mask_size"].tolist()
    return decode_masks(MaskRuns(target["mask_runs"], target["mask_lengths"], (height, width))).numpy()


@pytest.mark.parametrize(
    ("file", "kind", "options"),
    [
        ("instances", COCOInstanceDataModule, {}),
        ("person_keypoints", COCOKeypointDataModule, {"masks": True}),
    ],
)
def test_masks_of_the_real_subset_are_those_of_pycocotools(
    real_data: Path, file: str, kind: type[COCOInstanceDataModule], options: dict[str, bool]
) -> None:
    root = real_data / "coco"
    data = kind(str(root), augmentation="none", **options)
    data.prepare_data()
    data.setup()
    compared = 0
    for split, loader in (("train", data.train_in_order()), ("val", data.val_dataloader())):
        official = COCO(str(root / "annotations" / f"{file}_{split}2017.json"))
        for index, image_id in enumerate(official.imgs):
            image, target = loader.dataset[0, index]
            wanted = [official.annToMask(row) for row in official.imgToAnns[image_id]]
            assert target["mask_size"].tolist() == list(image.shape[1:])
            assert np.array_equal(masks_of(target), np.array(wanted).reshape(-1, *image.shape[1:]))
            compared += len(wanted)
    assert compared == (2098 if file == "instances" else 203)


def test_polygons_anywhere_are_rasterized_as_pycocotools_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        height, width = rng.integers(1, 60, 2).tolist()
        sizes = rng.integers(3, 12, rng.integers(1, 4))
        polygons = [np.round(rng.uniform(-20, 80, 2 * count), int(rng.integers(0, 3))) for count in sizes]
        merged = coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], height, width))
        runs = polygon_runs(polygons, height, width)
        ours = np.repeat(np.arange(len(runs)) % 2, runs).reshape(width, height).T
        assert np.array_equal(ours, coco_mask.decode(merged))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (700, 900)])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_compressed_runs_are_those_of_pycocotools(size: tuple[int, int], share: float) -> None:
    mask = (np.random.default_rng(0).random(size) < share).astype(np.uint8)
    runs = decompress_runs(coco_mask.encode(np.asfortranarray(mask))["counts"])
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2, runs).reshape(size[::-1]).T, mask)
    assert runs[1:].all()


@pytest.mark.parametrize("text", [b"o", b"0o", b"!!", b"\xff", b"oooooooo0"])
def test_other_text_than_compressed_runs_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="RLE"):
        decompress_runs(text)


def test_every_form_of_segmentation_gives_the_same_mask(tmp_path: Path) -> None:
    encoded = coco_mask.merge(coco_mask.frPyObjects([SQUARE], 30, 40))
    text = {"size": [30, 40], "counts": encoded["counts"].decode()}
    flat = coco_mask.decode(encoded).T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    plain = {"size": [30, 40], "counts": np.diff([0, *changes, flat.size]).tolist()}
    shifted = [[value + 100 for value in SQUARE], SQUARE]  # the first lies outside the image
    forms = [[SQUARE], text, plain, shifted]
    write(tmp_path, [record(number, segmentation=form) for number, form in enumerate(forms)])
    data = COCOInstanceDataModule(str(tmp_path), augmentation="none", batch_size=1)
    data.prepare_data()
    data.setup()
    masks = masks_of(data.train_dataloader().dataset[0, 0][1])
    assert masks.shape == (4, 30, 40)
    assert (masks == coco_mask.decode(encoded)).all()


def test_packed_annotations_cross_processes_as_a_path(tmp_path: Path) -> None:
    write(tmp_path, [record(1)] + [record(n, segmentation=[SQUARE * 500]) for n in range(2, 20)])
    data = COCOInstanceDataModule(str(tmp_path))
    data.prepare_data()
    data.setup()
    assert len(pickle.dumps(data.splits["train"])) < 1000
