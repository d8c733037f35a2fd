import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.defects import Defect
from datamodules.doctor import examine
from tests.helpers.small_coco import SQUARE, content, record, write

OTHER_SIZE = {"size": [40, 30], "counts": [600, 30, 570]}
POINTS = [6, 7, 2, 8, 9, 1, 0, 0, 0]


def found(kind: Callable[..., COCODetectionDataModule], root: Path, **options: Any) -> list[Defect]:
    return examine(kind(str(root), **options)).defects


def kinds_of(defects: list[Defect], start: str) -> list[str]:
    """Return the kinds of the defects whose text starts like this."""
    return [defect.kind for defect in defects if defect.what.startswith(start)]


def test_a_sound_file_has_no_defect(tmp_path: Path) -> None:
    write(tmp_path, [record(1, num_keypoints=2), record(2, iscrowd=1)])
    assert found(COCOKeypointDataModule, tmp_path, masks=True) == []


def test_every_defect_of_an_annotation_is_named(tmp_path: Path) -> None:
    annotations = [
        record(1),
        record(2, image=9),
        record(1, image=2),
        record(4, bbox=[-1, 5, 10, 10]),
        record(5, bbox=[5, 5, 0, 10]),
        record(6, bbox=[50, 5, 10, 10]),
        record(7, bbox=[5, None, 10, 10]),
        record(8, bbox=None, id=8),
        record(9, category_id=4),
        record(11, segmentation=OTHER_SIZE),
        record(12, segmentation=[SQUARE, [1, 1, 2, 2]]),
        record(13, segmentation=[]),
        record(14, segmentation=[[5.0, 5.0, 41.0, 5.0, 15.0, 15.0], SQUARE]),
        record(15, keypoints=[1, 2, 2]),
        record(16, keypoints=[6, 7, 2, 39.6, 9, 1, 0, 0, 0]),
        record(17, num_keypoints=3),
        record(18, keypoints=[6, 7, 3, 8, 9, 1, 0, 0, 0]),
        {**record(19), "area": "large"},
        record(20, keypoints=[6, 7, 0, 99, 99, 0, 0, 0, 0]),  # coordinates of unlabeled joints are ignored
        record(21, segmentation=[SQUARE, [*SQUARE, 3], [1, 2, 3]]),
    ]
    file = write(tmp_path, annotations)
    defects = found(COCOKeypointDataModule, tmp_path, masks=True)
    path = tmp_path / "annotations" / "person_keypoints_train2017.json"
    defects = [defect for defect in defects if defect.file == path]
    assert kinds_of(defects, "annotation 2 (dog) of image 9 is of an image that the file does not list") == [
        "annotation without image"
    ]
    expected = {
        "duplicate id": "annotation 1 (dog) of image 2 ",
        "box outside the image": "the box (-1, 5, 9, 15) of annotation 4 (dog) of image 1 in 40x30 pixels reaches",
        "box not finite": "the box (5, nan, 15, nan) of annotation 7",
        "unknown category": "annotation 9 (of an unknown category) of image 1 has the category 4",
        "RLE of another size": "annotation 11 (dog) of image 1 has an RLE of 30x40 pixels in an image of 40x30",
        "empty polygon": "annotation 12 (dog) of image 1 has 1 polygons with fewer than three corners",
        "odd polygon": "annotation 21 (dog) of image 1 has 2 polygons with an odd count of numbers",
        "object without mask": "annotation 13 ",
        "polygon outside the image": "annotation 14 ",
        "keypoints of another count": "annotation 15 (dog) of image 1 has 3 keypoint numbers, but its category has 3",
        "keypoint outside the image": "annotation 16 (dog) of image 1 has labeled joints outside its image (left_eye)",
        "num_keypoints disagrees": "annotation 17 (dog) of image 1 says num_keypoints 3 and labels 2 joints",
        "unusable keypoint": "annotation 18 (dog) of image 1 has a joint that is not finite or whose flag is not 0, 1 "
        "or 2 (nose)",
    }
    for kind, start in expected.items():
        assert kinds_of(defects, start) == [kind]
    assert kinds_of(defects, "the box (5, 5, 5, 15) of annotation 5") == ["box without area"]
    assert kinds_of(defects, "the box (50, 5, 60, 15) of annotation 6") == ["box without area"]
    assert kinds_of(defects, "has the annotation 8 that is not in COCO's format ('bbox' is missing)") == [
        "unusable record"
    ]
    assert kinds_of(defects, "has the annotation 19 that is not in COCO's format") == ["unusable record"]
    assert len(defects) == len(expected) + 5
    boxes = found(COCODetectionDataModule, tmp_path)  # without masks and joints, these are not checked
    assert Counter(defect.kind for defect in boxes if defect.file == file) == {
        "box without area": 2, "unusable record": 2, "annotation without image": 1, "duplicate id": 1,
        "box outside the image": 1, "box not finite": 1, "unknown category": 1,
    }  # fmt: skip


def test_every_defect_of_the_images_is_named(tmp_path: Path) -> None:
    whole = content([record(1, iscrowd=1), record(2, image=2), record(3, image=3)])
    whole["images"] += [
        {"id": 3, "file_name": "3.png", "width": 40, "height": 30},
        {"id": 3, "file_name": "4.png", "width": 39, "height": 30},
        {"id": 5, "file_name": "2.png", "width": 40, "height": 30},
        {"id": 6, "file_name": 6, "width": 40, "height": 30},
    ]
    file = write(tmp_path, [], lambda other: other.update(whole))
    cv2.imwrite(str(tmp_path / "train2017" / "4.png"), np.zeros((30, 40, 3), np.uint8))
    folder = tmp_path / "train2017"
    shutil.copy(folder / "2.png", tmp_path / "val2017" / "1.png")
    defects = found(COCODetectionDataModule, tmp_path)
    assert [(defect.file, defect.kind) for defect in defects if defect.kind != "leak"] == [
        (file, "unusable record"),
        (file, "duplicate id"),
        (file, "image listed twice"),
        (folder / "1.png", "crowd-only image"),
        (folder / "3.png", "missing image"),
        (folder / "4.png", "image of another size"),
    ]
    leaks = [defect for defect in defects if defect.kind == "leak"]
    assert [leak.file for leak in leaks] == [tmp_path / "val2017" / "1.png"]
    assert leaks[0].what.startswith(f"of val is the same picture as {folder / '2.png'} of train")


@pytest.mark.parametrize(
    ("kind", "edit", "sentence"),
    [
        ("unusable categories", lambda w: w["categories"][0].update(name="dog"), "has two categories named 'dog'"),
        ("unusable categories", lambda w: w["categories"][0].update(keypoints=["nose"]), "with different joints"),
        ("duplicate id", lambda w: w["categories"].append({**w["categories"][0], "name": "cow"}), "with the id 7"),
        ("unusable record", lambda w: w["categories"].append({"id": 9}), "has the category 9 that is not in COCO's"),
        ("unusable annotations", lambda w: w.update(images=[]), "lacks images, annotations or categories"),
    ],
)
def test_broken_categories_and_files_are_named(
    tmp_path: Path, kind: str, edit: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    write(tmp_path, [record(1)], edit)
    defects = found(COCOKeypointDataModule, tmp_path)
    file = tmp_path / "annotations" / "person_keypoints_train2017.json"
    assert [sentence in defect.what for defect in defects if (defect.file, defect.kind) == (file, kind)] == [True]


def test_splits_of_other_categories_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, [record(1, category_id=4)], lambda whole: whole["categories"][0].update(name="cow"))
    defects = found(COCODetectionDataModule, tmp_path, val_sets=["val2017", "none"])
    other = tmp_path / "annotations" / "instances_val2017.json"
    assert [defect.file for defect in defects if defect.kind == "unusable categories"] == [other]
    missing = [defect for defect in defects if defect.kind == "unusable annotations"]
    assert "instances_none.json is missing: choose another set (train2017, val2017)" in missing[0].what
    (tmp_path / "train2017").rename(tmp_path / "elsewhere")
    defects = found(COCODetectionDataModule, tmp_path, val_sets=[])
    assert [(defect.file, defect.kind) for defect in defects] == [
        (file, "unknown category"),  # the readable part is checked
        (tmp_path / "train2017", "missing folder"),
    ]
    file.write_text(json.dumps(content([record(1)]))[:-100])
    assert "it is cut off after" in found(COCODetectionDataModule, tmp_path, val_sets=[])[0].what
    assert found(COCOInstanceDataModule, tmp_path, val_sets=[])[0].kind == "unusable annotations"
