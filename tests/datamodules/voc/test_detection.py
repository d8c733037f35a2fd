import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import VOCDetectionDataModule
from lit_cv.errors import UserError
from tests.helpers.small_shapes import SETTINGS

Open = Callable[..., VOCDetectionDataModule]
BOMB = """<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""


def year(root: Path) -> Path:
    return root / "VOCdevkit" / "VOC2012"


def first(root: Path, folder: str) -> Path:
    name = (year(root) / "ImageSets" / "Main" / "train.txt").read_text().split()[0]
    return year(root) / folder / f"{name}.{'xml' if folder == 'Annotations' else 'jpg'}"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def objects(file: Path, *boxes: tuple[object, ...], size: tuple[int, int] = (64, 64)) -> None:
    items = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, difficult, x1, y1, x2, y2 in boxes
    )
    file.write_text(f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{items}</annotation>")


def train_sample(data: VOCDetectionDataModule, index: int = 0) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    return data.train_dataloader().dataset[0, index]


def test_targets_follow_the_contract(voc_root: Path, open_data: Open) -> None:
    objects(first(voc_root, "Annotations"), ("square", 0, 1, 1, 64, 64), ("circle", 1, 11, 21, 30, 40))
    data = open_data(voc_root, augmentation="none", batch_size=2)
    image, target = train_sample(data)
    assert image.dtype == torch.uint8
    assert image.shape == (3, 64, 64)
    assert target["boxes"].tolist() == [[0, 0, 64, 64]]  # 1-based, both ends included
    assert data.difficult is False
    assert target["labels"].tolist() == [2]
    assert {key: value.dtype for key, value in target.items()} == {
        "boxes": torch.float32, "labels": torch.int64, "difficult": torch.bool, "area": torch.float32,
        "iscrowd": torch.int64, "image_id": torch.int64,
    }  # fmt: skip
    _, target = train_sample(open_data(voc_root, augmentation="none", batch_size=2, difficult=True))
    assert target["boxes"].tolist() == [[0, 0, 64, 64], [10, 20, 30, 40]]
    assert target["difficult"].tolist() == [False, True]
    assert target["area"].tolist() == [64 * 64, 20 * 20]
    assert target["iscrowd"].tolist() == [0, 0]


def test_evaluation_keeps_difficult_objects(voc_root: Path, open_data: Open) -> None:
    objects(first(voc_root, "Annotations"), ("circle", 1, 11, 21, 30, 40))
    data = open_data(voc_root, val_sets=["2012_train"])
    _, targets = next(iter(data.val_dataloader()))
    assert targets[0]["difficult"].tolist() == [True]


def test_pixels_are_those_of_the_file(generated: Path, open_data: Open) -> None:
    image, _ = train_sample(open_data(generated, augmentation="none"))
    with Image.open(first(generated, "JPEGImages")) as opened:
        expected = np.asarray(opened.convert("RGB"), dtype=int)
    assert np.abs(image.permute(1, 2, 0).numpy() - expected).max() <= 3  # decoders differ by rounding


@pytest.mark.parametrize("augmentation", ["none", "flip", "ssd"])
def test_image_without_objects_is_trained_on(voc_root: Path, open_data: Open, augmentation: str) -> None:
    objects(first(voc_root, "Annotations"))
    _, target = train_sample(open_data(voc_root, augmentation=augmentation))
    assert target["boxes"].shape == (0, 4)
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].shape == target["area"].shape == target["difficult"].shape == (0,)


def test_boxes_outside_are_clipped_and_empty_ones_dropped_and_counted(voc_root: Path, open_data: Open) -> None:
    before = open_data(voc_root).counts
    file = first(voc_root, "Annotations")
    annotated = file.read_text().count("<object>")
    objects(file, ("circle", 0, -5, 10, 70, 30), ("square", 0, 30, 10, 29, 40), ("square", 0, 80, 80, 90, 90))
    data = open_data(voc_root, augmentation="none")
    _, target = train_sample(data)
    assert target["boxes"].tolist() == [[0, 9, 64, 30]]
    assert data.counts["train/clipped"] == 1
    assert data.counts["train/dropped"] == 2
    assert data.counts["train/boxes"] == before["train/boxes"] - annotated + 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r / "VOCdevkit"), "holds no VOCdevkit"),
        (lambda r: shutil.rmtree(r), "holds no VOCdevkit"),
        (lambda r: shutil.rmtree(year(r)), r"train\.txt is missing"),
        (lambda r: (year(r) / "ImageSets/Main/val.txt").unlink(), r"val\.txt is missing: .*2012_train"),
        (lambda r: (year(r) / "ImageSets/Main/val.txt").write_text("\n"), r"val\.txt is empty"),
        (lambda r: first(r, "Annotations").unlink(), r"\.xml is missing"),
        (lambda r: first(r, "Annotations").write_text("<annotation><size>"), r"\.xml is not valid XML"),
        (lambda r: first(r, "Annotations").write_bytes(b"\xff\xfe\x00"), r"\.xml"),
        (lambda r: first(r, "Annotations").write_text(BOMB), r"\.xml is hostile XML \(EntitiesForbidden\)"),
        (lambda r: first(r, "Annotations").write_text("<html/>"), r"\.xml is no VOC annotation: it is <html>"),
        (lambda r: objects(first(r, "Annotations"), ("cat", 0, 1, 1, 9, 9)), r"\.xml has the unknown class 'cat'"),
        (lambda r: objects(first(r, "Annotations"), ("circle", 0, "x", 1, 9, 9)), r"\.xml is no VOC annotation.*'x'"),
        (lambda r: objects(first(r, "Annotations"), ("circle", 0, "nan", 1, 9, 9)), r"\.xml .* not finite"),
        (lambda r: objects(first(r, "Annotations"), size=(64, 60)), r"\.jpg is 64x64 pixels .* 64x60"),
        (lambda r: first(r, "JPEGImages").unlink(), r"\.jpg is missing"),
        (lambda r: first(r, "JPEGImages").write_bytes(b"text"), r"\.jpg is not a readable image"),
        (lambda r: os.truncate(first(r, "JPEGImages"), 900), r"\.jpg is truncated"),
    ],
)  # fmt: skip
def test_bad_data_stops_before_training_with_one_sentence(
    voc_root: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(voc_root)
    with pytest.raises(UserError, match=message) as raised:
        VOCDetectionDataModule(str(voc_root)).prepare_data()
    assert "\n" not in str(raised.value)
    assert str(voc_root) in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_sets": ["trainval"]}, "'trainval' is not of the form"),
        ({"train_sets": ["2007_train"]}, r"VOC2007.*train\.txt is missing"),
        (
            {"train_sets": ["2012_train", "2012_trainval"]},
            r"trainval\.txt names shape_000000 a second time in train_sets: remove it",
        ),
        ({"source": "download", "train_sets": ["2010_train"]}, "No public archive holds the set '2010_train'"),
        ({"source": "shapes"}, "other settings"),
    ],
)
def test_unusable_options_stop_before_training(generated: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VOCDetectionDataModule(str(generated), **options).prepare_data()


def test_batch_larger_than_the_set_and_missing_test_sets_are_refused(generated: Path, open_data: Open) -> None:
    data = open_data(generated, batch_size=11)
    with pytest.raises(UserError, match="10 images, fewer than batch_size=11"):
        data.train_dataloader()
    with pytest.raises(UserError, match=r"set data\.test_sets"):
        data.test_dataloader()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_damage_after_the_check_is_one_sentence_also_from_a_worker(
    voc_root: Path, open_data: Open, num_workers: int
) -> None:
    data = open_data(voc_root, num_workers=num_workers, batch_size=2)
    file = first(voc_root, "JPEGImages")
    os.truncate(file, 900)
    with pytest.raises(UserError) as raised:
        list(data.train_dataloader())
    assert str(raised.value) == f"{file} is truncated: its end is missing; fetch the file again."
    Image.new("RGB", (64, 32)).save(file)
    with pytest.raises(UserError, match="is 64x32 pixels but its annotation says 64x64"):
        list(data.train_dataloader())


def test_shuffled_targets_are_those_of_another_image(voc_root: Path, open_data: Open) -> None:
    wide = first(voc_root, "JPEGImages")
    Image.new("RGB", (128, 32)).save(wide)
    objects(first(voc_root, "Annotations"), ("square", 0, 1, 1, 128, 32), size=(128, 32))
    plain = open_data(voc_root, augmentation="none", seed=3)
    control = open_data(voc_root, augmentation="none", seed=3, shuffle_targets=True)
    dataset = control.train_dataloader().dataset
    assert dataset.partners is not None
    for index, partner in enumerate(dataset.partners.tolist()):
        image, target = dataset[0, index]
        own_image, own = train_sample(plain, index)
        _, other = train_sample(plain, partner)
        assert torch.equal(image, own_image)
        assert torch.equal(target["labels"], other["labels"])
        assert target["image_id"] == own["image_id"] == index
        size = torch.tensor([image.shape[2], image.shape[1]] * 2)
        other_size = torch.tensor([128, 32, 128, 32] if partner == 0 else [64] * 4)
        torch.testing.assert_close(target["boxes"] / size, other["boxes"] / other_size)
    for mine, theirs in zip(control.val_dataloader(), plain.val_dataloader(), strict=True):
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(mine[1], theirs[1], strict=True))


def test_fingerprint_depends_on_content_alone(voc_root: Path, open_data: Open, tmp_path: Path) -> None:
    before = open_data(voc_root).fingerprint
    moved = shutil.copytree(voc_root, tmp_path / "moved")
    for file in moved.rglob("*.xml"):
        os.utime(file, (1, 1))
    assert open_data(moved / "VOCdevkit").fingerprint == before
    assert open_data(moved, batch_size=2, seed=9).fingerprint == before
    edit(first(moved, "Annotations"), "<xmin>", "<xmin> ")
    assert open_data(moved).fingerprint == before
    edit(first(moved, "Annotations"), "<difficult>0", "<difficult>1")
    assert open_data(moved).fingerprint != before
    assert open_data(voc_root, train_sets=["2012_val"], val_sets=["2012_train"]).fingerprint != before


def test_seed_is_the_runs_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert VOCDetectionDataModule("x").seed == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    assert VOCDetectionDataModule("x").seed == 17
    assert VOCDetectionDataModule("x", seed=4).seed == 4


def test_generated_source_writes_missing_files(tmp_path: Path, open_data: Open) -> None:
    data = open_data(tmp_path / "new", source="shapes", shapes=SETTINGS)
    assert data.counts["train/images"] == 10
    assert data.class_names == ("circle", "square", "triangle")


def test_real_data_has_the_published_counts(real_data: Path, open_data: Open) -> None:
    data = open_data(real_data)
    counts = data.counts
    assert [counts["train/images"], counts["val/images"]] == [215, 211]
    assert counts["train/boxes"] + counts["val/boxes"] + counts["train/dropped"] + counts["val/dropped"] == 1171
    assert counts["train/difficult"] + counts["val/difficult"] == 154
    assert len(data.class_names) == 20
    both = open_data(real_data, train_sets=["2007_trainval", "2012_train"], test_sets=["2007_test"])
    assert both.counts["train/images"] + both.counts["test/images"] == 225
    assert sum(len(targets) for _, targets in data.val_dataloader()) == 211
