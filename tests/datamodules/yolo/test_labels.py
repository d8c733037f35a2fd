"""Label files in YOLO's form: boxes, polygons, gaps, and lines with one thing wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import COCOInstanceDataModule, YOLODetectionDataModule, YOLOInstanceDataModule
from datamodules.doctor import examine
from datamodules.yolo.objects import whole_pixels
from lit_cv.errors import UserError
from tests.datamodules.yolo.small_yolo import A, B, write
from tests.helpers import small_coco

OUTLINE = "0 0.125 0.1666667 0.375 0.1666667 0.375 0.5 0.125 0.5\n"


def opened(root: Path, kind: type[YOLODetectionDataModule] = YOLODetectionDataModule) -> YOLODetectionDataModule:
    data = kind(str(root), augmentation="none", num_workers=0)
    data.prepare_data()
    data.setup()
    return data


def test_boxes_are_those_of_the_text(tmp_path: Path) -> None:
    train = opened(write(tmp_path)).splits["train"]
    expected = [[24, 12, 40, 36], [12, 9, 20, 15], [24, 18, 40, 30], [0, 18, 16, 30]]
    assert train.boxes.tolist() == expected
    assert train.labels.tolist() == [1, 2, 3, 1]
    assert train.areas.tolist() == [384, 48, 192, 192]
    assert train.sizes.tolist() == [[64, 48]] * 2


@pytest.mark.parametrize("write_number", ["{:.6f}".format, "{:.6g}".format, repr, lambda x: str(np.float32(x))])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (641, 479), (1920, 1081), (4000, 3007)])
def test_whole_pixels_survive_the_text(width: int, height: int, write_number: object) -> None:
    rng = np.random.default_rng(0)
    size = np.array([width, height] * 2)
    first = rng.integers(0, size[:2] - 1, (200, 2))
    corners = np.concatenate([first, rng.integers(first + 1, size[:2] + 1)], axis=1)
    center, extent = (corners[:, :2] + corners[:, 2:]) / 2 / size[:2], (corners[:, 2:] - corners[:, :2]) / size[:2]
    texts = [[write_number(float(value)) for value in row] for row in np.concatenate([center, extent], axis=1)]  # type: ignore[operator]
    read = np.array(texts, dtype=np.float64)
    shares = np.concatenate([read[:, :2] - read[:, 2:] / 2, read[:, :2] + read[:, 2:] / 2], axis=1)
    digits = max(len(text.lstrip("0.")) for row in texts for text in row if text.startswith("0.") and "e" not in text)
    assert (whole_pixels(shares, np.tile(size, (200, 1)), np.full(200, digits)) == corners).all()


def test_other_coordinates_stay() -> None:
    sizes, digits = np.full((3, 1), 640), np.array([6, 6, 2])
    shares = np.array([[100.4 / 640], [100.01 / 640], [0.16]])
    assert whole_pixels(shares, sizes, digits)[:, 0] == pytest.approx([100.4, 100.01, 102.4])


@pytest.mark.parametrize(
    "encode", [str.encode, lambda text: text.encode("utf-8-sig"), lambda text: text.encode("utf-16")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_line_end_and_mark_is_read(tmp_path: Path, encode: object, end: str) -> None:
    write(tmp_path)
    text = A.replace("\n", end).replace(" ", "\t").replace("0\t", "0.0\t", 1)
    (tmp_path / "labels/train/a.txt").write_bytes(encode(text))  # type: ignore[operator]
    assert opened(tmp_path).splits["train"].labels.tolist() == [1, 2, 3, 1]


def test_polygons_give_boxes_and_the_masks_of_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The square of ``small_coco`` in YOLO's text: masks, boxes and areas are the same."""
    root = write(tmp_path / "yolo", {"a": f"{OUTLINE}{A}", "b b": OUTLINE, "c": OUTLINE})
    small_coco.write(tmp_path / "coco", [small_coco.record(1, area=100)])
    for name in ("train/a.jpg", "train/b b.jpg", "val/c.png"):
        shutil.copy(tmp_path / "coco/train2017/1.png", root / "images" / name)
    yolo = opened(root, YOLOInstanceDataModule)
    coco = COCOInstanceDataModule(str(tmp_path / "coco"), augmentation="none")
    coco.prepare_data()
    coco.setup()
    (image, target), (other, expected) = (data.dataset(data.splits["train"], True)[0] for data in (yolo, coco))
    assert torch.equal(image, other)
    assert set(target) == set(expected)
    for name in ("boxes", "area", "iscrowd", "mask_runs", "mask_lengths", "mask_size"):
        assert torch.equal(target[name], expected[name]), name
    assert yolo.splits["train"].counts["without_mask"] == 2
    assert "2 of 4 objects are boxes without a polygon" in capsys.readouterr().err
    boxes = opened(root).splits["train"]
    assert boxes.boxes[0].tolist() == [5, 5, 15, 15]
    assert boxes.counts["boxes"] == 4


def test_boxes_are_no_masks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the train labels are boxes, none is a polygon.*YOLODetectionDataModule"):
        opened(write(tmp_path), YOLOInstanceDataModule)


def test_gaps_are_counted_and_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path, {"a": "0 0.5 0.5 0 0.5\n0 0.9 0.5 0.4 0.5\n", "b b": " \n"})
    (root / "labels/val/c.txt").rename(root / "labels/val/other.txt")
    (root / "labels/val/classes.txt").write_text("a\n")
    data = opened(root)
    told = capsys.readouterr().err
    assert "1 of 2 images have an empty label file" in told
    assert "1 of 1 images have no label file" in told
    assert "1 of 2 objects have no area within their image and are left out" in told
    assert "1 boxes reach outside their image and are clipped" in told
    assert "1 label files have no picture and are left out (" in told
    assert "Classes without an object in any split: b, c." in told
    assert told.count("note:") == 6
    assert data.splits["train"].counts | {"clipped": 1, "dropped": 1, "boxes": 1} == data.splits["train"].counts
    found = examine(data)
    assert {defect.kind: defect.note for defect in found.defects if "picture twice" not in defect.kind} == {
        "box without area": False, "box outside the image": False, "picture without labels": True,
    }  # fmt: skip


def test_a_class_in_val_that_train_has_not_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(write(tmp_path, {"b b": "0 0.5 0.5 0.25 0.25"}))
    assert "Classes of val without an object in train, so they cannot be learned: c; move" in (
        told := capsys.readouterr().err
    ), told


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 0.5 0.5 0.25 0.25", "has the class 3, but the 3 names in data.yaml are classes 0 to 2: fix the index"),
        ("-1 0.5 0.5 0.25 0.25", "has the class -1, but"),
        ("0.5 0.5 0.5 0.25 0.25", "has the class 0.5, which is no index"),
        ("nan 0.5 0.5 0.25 0.25", "has the class nan, which is no index"),
        ("c 0.5 0.5 0.25 0.25", "has 'c', which is no number: write the index of the class, 2"),
        ("0 0.5 O.5 0.25 0.25", "has 'O.5', which is no number: fix the line"),
        ("0,0.5,0.5,0.25,0.25", "has '0,0.5,0.5,0.25,0.25', which is no number"),
        ("0 0.5 nan 0.25 0.25", "has nan for the center's y, which is no share of the image from 0 to 1"),
        ("0 0.5 0.5 0.25 -0.25", "has -0.25 for the height, which is no share"),
        ("0 32 24 16 12", "has 32 for the center's x, which is no share .*: divide pixels by the width and height"),
        ("0 0.1 0.1 0.2 0.1 0.2 1.5", "has 1.5 for the y of corner 3, which is no share"),
        ("0 0.5 0.5 0.25", "has 4 columns, not 5 .*: complete the line, '0 0.5 0.5 0.25'"),
        ("0 0.5 0.5 0.25 0.25 0.98", "has 6 columns, as predictions with a confidence have: give label files"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.3", "is a polygon with an odd count of numbers, 7: an x or a y is missing"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_the_doctor_lists_it(tmp_path: Path, line: str, message: str) -> None:
    root = write(tmp_path, {"a": f"{A}\n{line}\n{line}\n{B}"})
    with pytest.raises(UserError, match=message) as raised:
        opened(root)
    assert str(raised.value).startswith(f"{root}/labels/train/a.txt:4 ")
    assert "\n" not in str(raised.value)
    survey = YOLODetectionDataModule(str(root)).survey("train")
    assert [defect.kind for defect in survey.defects] == ["unusable label"] * 2
    assert len(survey.images) == 2


def test_an_edited_label_is_read_again(tmp_path: Path) -> None:
    root = write(tmp_path)
    before = opened(root).splits["train"]
    assert opened(root).splits["train"].folder == before.folder
    (root / "labels/train/a.txt").write_text(A.replace("0 0.5", "1 0.5", 1))
    assert opened(root).splits["train"].labels.tolist() == [2, 2, 3, 1]
