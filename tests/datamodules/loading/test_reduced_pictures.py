from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import datamodules
from datamodules.base import DataModule
from lit_cv.errors import UserError
from lit_cv.ops.mask_runs import MaskRuns, decode_masks
from tests.helpers import small_shapes

KINDS: dict[str, dict[str, Any]] = {
    "VOCDetectionDataModule": {"augmentation": "none"},
    "VOCSegmentationDataModule": {"augmentation": "none"},
    "COCOKeypointDataModule": {"augmentation": "none", "masks": True},
    "LSPPoseDataModule": {"crop_size": 24, "rotation": 0, "scale_jitter": 0, "flip": 0},
    "VisualGenomeDataModule": {"min_count": 1},
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


def opened(kind: str, root: Path, **options: Any) -> DataModule[Any]:
    return small_shapes.opened(kind, root / kind, **KINDS[kind], **options)


def samples(data: DataModule[Any], split: str = "train") -> list[tuple[Tensor, dict[str, Any]]]:
    dataset: Any = data.samples(data.splits[split], training=split == "train")
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_targets_are_reduced_together(kind: str, roots: Path) -> None:
    whole, half = opened(kind, roots), opened(kind, roots, max_size=20)
    for (image, target), (small, less) in zip(samples(whole), samples(half), strict=True):
        assert less.keys() == target.keys()
        if kind == "LSPPoseDataModule":  # a crop has the same size, and its joints stay where they are
            assert small.shape == image.shape
            assert torch.allclose(less["keypoints"], target["keypoints"], atol=1e-3)
            assert torch.allclose(less["head_size"], target["head_size"], equal_nan=True)
            assert (small.float() - image.float()).abs().mean() < 40
            continue
        assert small.shape == (3, 20, 20)
        assert (small.float() - torch.nn.functional.avg_pool2d(image.float(), 2)).abs().max() <= 1
        if "boxes" in target:
            assert torch.allclose(less["boxes"], target["boxes"] / 2)
            assert torch.allclose(less["area"], target["area"] / 4)
        if "keypoints" in target:
            assert torch.allclose(less["keypoints"][..., :2], target["keypoints"][..., :2] / 2)
        if "mask" in target:
            assert set(less["mask"].unique().tolist()) <= set(target["mask"].unique().tolist())
            assert less["mask"].shape == (20, 20)
        if "mask_runs" in target:
            masks, fewer = (
                decode_masks(MaskRuns(one["mask_runs"], one["mask_lengths"], tuple(one["mask_size"].tolist())))
                for one in (target, less)
            )
            assert fewer.shape == (len(masks), 20, 20)
            assert abs(4 * int(fewer.sum()) - int(masks.sum())) <= 0.2 * int(masks.sum()) + 40
    for (image, _), (same, _) in zip(samples(whole, "val"), samples(half, "val"), strict=True):
        assert torch.equal(image, same)  # evaluation reads pictures as they are


@pytest.mark.parametrize("kind", ["VOCDetectionDataModule", "VOCSegmentationDataModule"])
def test_cached_pictures_are_the_reduced_ones(kind: str, roots: Path, tmp_path: Path) -> None:
    plain, cached = (
        samples(opened(kind, roots, max_size=20)),
        samples(opened(kind, roots, max_size=20, cache="decoded")),
    )
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(plain, cached, strict=True))
    (file,) = (tmp_path / "cache").glob("decoded-*.rgb")
    assert file.stat().st_size == 4096 + len(plain) * 20 * 20 * 3
    samples(opened(kind, roots, cache="decoded"))
    assert len(list((tmp_path / "cache").glob("decoded-*.rgb"))) == 2


def test_smaller_pictures_and_partners_stay_as_they_are(roots: Path) -> None:
    kind = "VOCDetectionDataModule"
    for options in ({}, {"shuffle_targets": True}):
        first, second = samples(opened(kind, roots, **options)), samples(opened(kind, roots, max_size=40, **options))
        for (image, target), (same, equal) in zip(first, second, strict=True):
            assert torch.equal(image, same)
            assert all(torch.equal(target[key], equal[key]) and target[key].dtype == equal[key].dtype for key in target)
    partners = samples(opened(kind, roots, shuffle_targets=True, max_size=20))
    whole = samples(opened(kind, roots, shuffle_targets=True))
    for (_, target), (_, less) in zip(whole, partners, strict=True):
        assert torch.allclose(less["boxes"], target["boxes"] / 2)
        assert less["boxes"].dtype == torch.float32


def test_boxes_stay_within_pictures_of_odd_sizes(roots: Path) -> None:
    data = opened("VOCDetectionDataModule", roots, max_size=23)
    dataset: Any = data.samples(data.splits["train"], training=True)
    assert all(np.array_equal(dataset.sizes[index], [23, 23]) for index in range(len(dataset)))
    assert all(target["boxes"].max() <= 23 for _, target in (dataset[index] for index in range(len(dataset))))


def test_a_size_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="max_size"):
        datamodules.VOCDetectionDataModule(str(tmp_path), max_size=0)
