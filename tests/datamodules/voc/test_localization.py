from collections.abc import Callable
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch

from datamodules import VOCDetectionDataModule, VOCLocalizationDataModule
from lit_cv.errors import UserError
from tests.helpers.small_shapes import SETTINGS

Open = Callable[..., VOCLocalizationDataModule]


@pytest.fixture
def open_largest() -> Open:
    def opened(root: Path, **options: object) -> VOCLocalizationDataModule:
        data = VOCLocalizationDataModule(str(root), **options)  # type: ignore[arg-type]
        data.prepare_data()
        data.setup()
        return data

    return opened


def annotate(root: Path, number: int, *boxes: tuple[object, ...]) -> None:
    """Rewrite the annotation of the nth training image: (class, difficult, x1, y1, x2, y2) in VOC's coordinates."""
    folder = root / "VOCdevkit" / "VOC2012"
    name = (folder / "ImageSets" / "Main" / "train.txt").read_text().split()[number]
    items = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, difficult, x1, y1, x2, y2 in boxes
    )
    size = "<size><width>64</width><height>64</height></size>"
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{items}</annotation>")


def test_the_largest_object_inside_the_image_is_chosen_and_difficult_ones_come_last(
    voc_root: Path, open_largest: Open
) -> None:
    annotate(voc_root, 0, ("circle", 0, 1, 1, 10, 10), ("square", 0, 11, 21, 30, 50), ("circle", 1, 1, 1, 64, 64))
    annotate(voc_root, 1, ("circle", 1, 1, 1, 10, 10), ("triangle", 1, 5, 5, 20, 20))
    annotate(voc_root, 2)
    annotate(voc_root, 3, ("square", 0, 60, 60, 500, 500), ("circle", 0, 1, 1, 8, 8))  # 5 x 5 pixels inside
    annotate(voc_root, 4, ("square", 0, 1, 1, 8, 8), ("circle", 0, 9, 1, 16, 8))  # ties go to the first
    annotate(voc_root, 5, ("square", 0, 30, 10, 29, 40))  # without area
    data = open_largest(voc_root, augmentation="none", batch_size=4)
    samples = [data.train_dataloader().dataset[0, index] for index in range(8)]
    first = [(target["labels"].tolist(), target["boxes"].tolist()) for _, target in samples[:4]]
    assert first == [
        ([2], [[10, 20, 30, 50]]), ([3], [[4, 4, 20, 20]]), ([1], [[0, 0, 8, 8]]), ([2], [[0, 0, 8, 8]]),
    ]  # fmt: skip
    assert [target["image_id"].item() for _, target in samples] == list(range(8))
    for image, target in samples:
        assert image.shape == (3, 64, 64)
        assert (target["boxes"].shape, target["boxes"].dtype) == ((1, 4), torch.float32)
        assert (target["labels"].shape, target["labels"].dtype) == ((1,), torch.int64)
    own = {key.removeprefix("train/"): count for key, count in data.counts.items() if key.startswith("train/")}
    assert own == {"images": 8, "without_object": 2, "difficult": 1, "clipped": 1, "dropped": 1}


def test_evaluation_also_has_one_object_per_image(generated: Path, open_largest: Open) -> None:
    data = open_largest(generated, batch_size=2)
    targets = [target for _, batch in data.val_dataloader() for target in batch]
    assert len(targets) == data.counts["val/images"] == 5
    assert all(len(target["labels"]) == 1 for target in targets)


def test_fingerprint_is_that_of_the_chosen_objects(voc_root: Path, open_largest: Open) -> None:
    boxes = [("circle", 0, 1, 1, 40, 40), ("square", 0, 50, 50, 60, 60)]
    annotate(voc_root, 0, *boxes)
    before = open_largest(voc_root).fingerprint
    assert open_largest(voc_root).fingerprint == before
    annotate(voc_root, 0, boxes[0], ("square", 0, 51, 51, 60, 60))
    assert open_largest(voc_root).fingerprint == before
    annotate(voc_root, 0, ("circle", 0, 1, 1, 41, 40), boxes[1])
    assert open_largest(voc_root).fingerprint != before
    everything = VOCDetectionDataModule(str(voc_root))
    everything.setup()
    assert everything.fingerprint != open_largest(voc_root).fingerprint


@pytest.mark.parametrize("augmentation", ["flip", "ssd"])
def test_presets_move_image_and_box_together_and_keep_the_object(
    generated: Path, open_largest: Open, augmentation: str
) -> None:
    plain = open_largest(generated, augmentation="none").train_dataloader().dataset
    changed = open_largest(generated, augmentation=augmentation).train_dataloader().dataset
    moved = 0
    for index in range(10):
        image, target = changed[3, index]
        assert target["boxes"].shape == (1, 4)
        assert target["labels"].tolist() == plain[3, index][1]["labels"].tolist()
        assert (target["boxes"][:, 2:] <= torch.tensor(image.shape[:0:-1]) + 1e-3).all()
        moved += not torch.equal(target["boxes"], plain[3, index][1]["boxes"])
    assert moved >= 3


def test_an_augmentation_that_loses_the_object_leaves_the_sample(voc_root: Path, open_largest: Open) -> None:
    annotate(voc_root, 0, ("circle", 0, 41, 41, 60, 60))
    annotate(voc_root, 1, ("circle", 0, 3, 5, 20, 25))
    plain = open_largest(voc_root, augmentation="none").train_dataloader().dataset
    cropped = open_largest(voc_root, augmentation=[A.Crop(0, 0, 32, 32)]).train_dataloader().dataset
    image, target = cropped[0, 0]
    assert torch.equal(image, plain[0, 0][0])
    np.testing.assert_allclose(target["boxes"], [[40, 40, 60, 60]], atol=1e-4)
    image, target = cropped[0, 1]
    assert torch.equal(image, plain[0, 1][0][:, :32, :32])
    np.testing.assert_allclose(target["boxes"], [[2, 4, 20, 25]], atol=1e-4)


def test_shuffled_targets_are_those_of_another_image(generated: Path, open_largest: Open) -> None:
    plain = open_largest(generated, augmentation="none").train_dataloader().dataset
    control = open_largest(generated, augmentation="none", shuffle_targets=True).train_dataloader().dataset
    for index, partner in enumerate(control.partners.tolist()):
        assert partner != index
        torch.testing.assert_close(control[0, index][1]["boxes"], plain[0, partner][1]["boxes"])


def test_missing_data_is_one_sentence(voc_root: Path) -> None:
    with pytest.raises(UserError, match=r"val2\.txt is missing"):
        VOCLocalizationDataModule(str(voc_root), val_sets=["2012_val2"]).prepare_data()


def test_generated_source_writes_missing_files(tmp_path: Path, open_largest: Open) -> None:
    data = open_largest(tmp_path / "new", source="shapes", shapes=SETTINGS)
    assert data.counts["train/images"] + data.counts["train/without_object"] == 10


def test_real_data_has_an_object_in_every_image(real_data: Path, open_largest: Open) -> None:
    data = open_largest(real_data)
    everything = VOCDetectionDataModule(str(real_data))
    everything.setup()
    for split, images in (("train", 215), ("val", 211)):
        assert data.counts[f"{split}/images"] == images
        assert data.counts[f"{split}/without_object"] == 0
        full, largest = everything.splits[split], data.splits[split]
        assert len(largest.labels) == images
        for index in range(images):
            rows = full.rows(index)
            areas = (full.boxes[rows, 2:] - full.boxes[rows, :2]).prod(axis=1)
            usable = areas[~full.difficult[rows]] if not full.difficult[rows].all() else areas
            chosen = largest.boxes[index]
            assert (chosen[2:] - chosen[:2]).prod() == usable.max()
