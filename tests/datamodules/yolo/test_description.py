"""data.yaml as tools write it, and with one thing wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import YOLODetectionDataModule
from datamodules.splits import Split
from lit_cv.errors import UserError
from tests.datamodules.yolo.small_yolo import picture, write


def opened(root: Path, **options: object) -> YOLODetectionDataModule:
    data = YOLODetectionDataModule(str(root), **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def names_of(data: YOLODetectionDataModule, split: str) -> list[str]:
    packed = data.splits[split]
    return [packed.name(index) for index in range(len(packed))]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[Hard Hat, 'no', 1]", ("Hard Hat", "no", "1")),
        ("[no, 'Hard  Hat', null text]", ("no", "Hard Hat", "null text")),
        ("\n  2: b b\n  0: a\n  1: no", ("a", "no", "b b")),
    ],
)
def test_names_are_texts_in_the_order_of_their_indices(tmp_path: Path, names: str, expected: tuple[str, ...]) -> None:
    write(tmp_path, names=names)
    data = opened(tmp_path)
    assert data.class_names == expected
    assert data.splits["train"].labels.tolist() == [1, 2, 3, 1]
    assert data.splits["val"].facts.classes == expected


# The trees that Ultralytics, Roboflow and CVAT document: docs.ultralytics.com/datasets/detect,
# docs.roboflow.com (YOLOv8 export), docs.cvat.ai/docs/dataset_management/formats/format-yolo-ultralytics.
@pytest.mark.parametrize(
    ("train", "val", "entries"),
    [
        ("images/train", "images/val", "path: .\ntrain: images/train\nval: images/val\ntest: # optional"),
        ("images/train", "images/val", "path: /home/me/coco8\ntrain: images/train\nval: images/val"),
        ("images/train", "images/val", "train: [images/train]\nval: /mnt/data/set/images/val"),
        ("images/train", "images/val", "train: images\\train\nval: C:\\sets\\mine\\images\\val"),
        ("train/images", "valid/images", "train: ../train/images\nval: ../valid/images\ntest: ../test/images"),
        ("train/images", "valid/images", "train: train\nvalid: valid"),
        ("train", "val", "train: train\nval: val"),
        ("images/train", "images/val", "path: ./\ntrain: train.txt\nval: val.txt"),
        ("images/train", "images/val", "train: far.txt\nval: ./images/val"),
    ],
)
def test_folders_and_lists_of_tools_are_found(tmp_path: Path, train: str, val: str, entries: str) -> None:
    write(tmp_path, train=train, val=val, entries=entries)
    if "../test" in entries:
        picture(tmp_path / "test/images/t.jpg")
        (tmp_path / "test/labels").mkdir()
    (tmp_path / "train.txt").write_text("images/train/b b.jpg\n\n./images/train/a.jpg\n")
    (tmp_path / "far.txt").write_text("/content/set/images/train/b b.jpg\ndata/images/train/a.jpg\n")
    (tmp_path / "val.txt").write_text("images/val/c.png\n")
    data = opened(tmp_path)
    listed = [f"{train}/a.jpg", f"{train}/b b.jpg"]
    assert names_of(data, "train") == (listed[::-1] if ".txt" in entries else listed)
    assert names_of(data, "val") == [f"{val}/c.png"]
    assert data.splits["train"].counts["boxes"] == 4
    assert data.splits["val"].counts["boxes"] == 3


def test_paths_of_another_machine_are_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, entries="path: /home/me/set\ntrain: /home/me/set/images/train\nval: far.txt")
    (tmp_path / "far.txt").write_text("/home/me/images/val/c.png\n")
    opened(tmp_path)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(told) == 3
    assert "path is /home/me/set, which is no folder here" in told[0]
    assert f"/home/me/set/images/train is not on this machine; {tmp_path}/images/train is taken" in told[1]
    assert f"far.txt names /home/me/images/val/c.png, which is not here; {tmp_path}/images/val/c.png is" in told[2]


def test_split_divides_the_training_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, entries="train: images")
    data = opened(tmp_path, split=Split(val=0.34))
    assert len(names_of(data, "train")) == 2
    assert len(names_of(data, "val")) == 1
    assert names_of(opened(tmp_path), "val") == names_of(data, "val")
    assert "names no val: its pictures are divided into 2 train, 1 val (Split(val=0.34" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"data\.yaml names pictures for val: leave data\.split out"):
        opened(write(tmp_path, entries="train: images/train\nval: images/val"), split=Split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"data\.yaml is missing, .*: set data\.file to one of other\.yaml"),
        ("train: images\n", r"data\.yaml lacks the names of the classes: write `names: \[first, second\]`"),
        ("names: []\ntrain: images", "lacks the names"),
        ("names: cat\ntrain: images", "lacks the names"),
        ("nc: 4\nnames: [a, b, c]\ntrain: images", "has nc: 4 but 3 names: remove nc, or complete the names"),
        ("names: [a, b, a]\ntrain: images", "names has 'a' for the classes 0 and 2: fix one"),
        ("names: [a, '']\ntrain: images", "the name of class 1 is '': write a text"),
        ("names: {0: a, 2: b}\ntrain: images", "names has no class 1, but 2: number them"),
        ("names: {a: 0}\ntrain: images", "names maps 'a', which is no index, to '0': write `0: name`"),
        ("names: [a\ntrain: images", r"data\.yaml:2 is no YAML"),
        ("a, b", "holds no settings such as `names:`"),
        ("names: [a]", "names no pictures: write the folder of the training images behind `train:`"),
        ("names: [a]\ntrain: pictures", r"train is pictures, which does not exist \(looked for in "),
        ("names: [a]\ntrain: data.yaml", "is neither a folder nor a .txt list of pictures"),
        ("names: [a]\ntrain: {x: y}", "train is .*, not a path"),
        ("names: [a]\ntrain: images\nval: images\nvalid: images", "has both val and valid: remove one of them"),
        ("names: [a]\ntrain: labels", "labels is a folder without pictures, but .* names it for train"),
        ("names: [a]\nkpt_shape: [17, 3]\ntrain: images", "has kpt_shape, so its labels are poses"),
        ("names: [a]\ntrain: lost.txt", r"lost\.txt:2 names images/train/z\.jpg, which does not exist: fix the path"),
        ("names: [a]\ntrain: twice.txt", r"a\.jpg is named a second time in .*twice\.txt: name it once for train"),
    ],
)
def test_a_wrong_description_is_one_sentence(tmp_path: Path, text: str | None, message: str) -> None:
    write(tmp_path)
    (tmp_path / "other.yaml").write_text("names: [a]\n")
    (tmp_path / "lost.txt").write_text("images/train/a.jpg\nimages/train/z.jpg\n")
    (tmp_path / "twice.txt").write_text("images/train/a.jpg\n" * 2)
    (tmp_path / "data.yaml").unlink() if text is None else (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        opened(tmp_path)
    assert "\n" not in str(raised.value)


def test_two_pictures_for_one_label_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(root / "images/train/a.PNG")
    with pytest.raises(UserError, match=r"a\.PNG and a\.jpg have the same labels, .*labels/train/a\.txt: remove or"):
        opened(root)


def test_pictures_that_are_trained_and_evaluated_on_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(write(tmp_path, entries="train: images/train\nval: images"))
    assert "2 of 3 pictures of val are trained on as well" in capsys.readouterr().err
