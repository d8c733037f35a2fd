"""Exports of labeling tools, read without renaming a file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule, Proposals
from datamodules.doctor import examine
from datamodules.splits import Split
from lit_cv.errors import UserError
from tests.helpers.exports import (
    CLASSES,
    boxes,
    cvat,
    label_studio,
    labelme,
    one_file,
    picture,
    records,
    roboflow,
    save,
    sixteen_bits,
    write_json,
)

NUMBERS = range(1, 9)
Edit = Callable[[Path, dict[str, Any]], None]


def opened(root: Path, kind: type[COCODetectionDataModule] = COCODetectionDataModule, **options: Any) -> Any:
    data = kind(str(root), **{"batch_size": 1, "augmentation": "none", **options})
    data.prepare_data()
    data.setup()
    return data


def found(data: COCODetectionDataModule) -> dict[bytes, list[tuple[float, ...]]]:
    """Return the objects of all splits by the pixels of their picture: label, then box as x, y, width and height."""
    objects = {}
    for packed in data.splits.values():
        for image, target in (data.samples(packed, training=False)[index] for index in range(len(packed))):
            rows = torch.cat([target["labels"][:, None], target["boxes"]], dim=1).tolist()
            key = image.permute(1, 2, 0).numpy().tobytes()
            objects[key] = [(label - 1, x, y, right - x, bottom - y) for label, x, y, right, bottom in rows]
    return objects


EXPECTED = {picture(number).tobytes(): [*map(tuple, boxes(number))] for number in NUMBERS}
EXPORTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "roboflow": lambda root: roboflow(root, NUMBERS[:5], NUMBERS[5:7], NUMBERS[7:]),
    "cvat": lambda root: cvat(root, NUMBERS),
    "label studio": lambda root: label_studio(root, NUMBERS),
    "label studio, windows": lambda root: label_studio(root, NUMBERS, "images\\{}"),
    "label studio, uploads": lambda root: label_studio(root, NUMBERS, "../../upload/3/{}"),
    "label studio, local files": lambda root: label_studio(root, NUMBERS, "/data/local-files/?d=some/folder/{}"),
    "label studio, url": lambda root: label_studio(root, NUMBERS, "https://host/data/upload/3/{}?token=1"),
    "labelme": lambda root: labelme(root, NUMBERS),
    "one file": lambda root: one_file(root, NUMBERS),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_read_as_they_are(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = EXPORTS[name](tmp_path)
    data = opened(tmp_path, **settings)
    assert data.class_names == CLASSES == COCODetectionDataModule(str(tmp_path), **settings).class_names
    assert found(data) == EXPECTED
    told = capsys.readouterr().err
    assert told.count("is divided into 6 train, 2 val images (Split(val=0.2") == (name != "roboflow")
    assert told.count("'helmets', the supercategory of all others: it is left out") == 2 * (name == "roboflow") + (
        name == "roboflow"
    )
    defects = examine(COCODetectionDataModule(str(tmp_path), **settings)).defects
    assert [defect for defect in defects if not defect.note] == []


def test_the_images_of_a_split_keep_the_order_of_the_file(tmp_path: Path) -> None:
    data = opened(tmp_path, split=Split(val=0.25, test=0.25), **labelme(tmp_path, NUMBERS[::-1]))
    for packed in data.splits.values():
        numbers = [int(Path(packed.name(index)).stem) for index in range(len(packed))]
        assert numbers == sorted(numbers, reverse=True)
    assert {name: len(packed) for name, packed in data.splits.items()} == {"train": 4, "val": 2, "test": 2}


def test_frames_of_one_video_stay_in_one_split_and_masks_follow(tmp_path: Path) -> None:
    settings = cvat(tmp_path, range(12))
    data = opened(tmp_path, COCOInstanceDataModule, split=Split(val=0.3, group=r"clip \d"), **settings)
    clips = {
        name: {packed.name(index).split("/")[-2] for index in range(len(packed))}
        for name, packed in data.splits.items()
    }
    assert (len(clips["train"]), len(clips["val"])) == (2, 1)
    assert not clips["train"] & clips["val"]
    for packed in data.splits.values():
        for index in range(len(packed)):
            target = data.dataset(packed, training=False)[index][1]
            masks = packed.masks(np.arange(*packed.offsets[index : index + 2]), (48, 64))
            assert len(masks.lengths) == len(target["boxes"])
            for box, area in zip(target["boxes"], target["area"], strict=True):
                assert (box[2:] - box[:2]).prod() == area


def test_a_divided_training_file_beside_a_test_file(tmp_path: Path) -> None:
    files = roboflow(tmp_path, NUMBERS[:6], [], NUMBERS[6:])
    data = opened(tmp_path, split=Split(val=0.5), **files)
    assert {name: len(packed) for name, packed in data.splits.items()} == {"train": 3, "val": 3, "test": 2}
    assert found(data) == EXPECTED


def rewrite(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def renumbered(content: dict[str, Any]) -> None:
    """Write the categories in another order, with other ids, and one more that no object uses."""
    ids = {1: 70, 2: 5, 3: -2}
    content["categories"] = [{**kind, "id": ids[kind["id"]]} for kind in content["categories"][:0:-1]]
    content["categories"].append({"id": 99, "name": "unused"})
    for row in content["annotations"]:
        row["category_id"] = ids[row["category_id"]]


def test_splits_that_number_their_classes_in_other_ways_are_matched_by_name(tmp_path: Path) -> None:
    settings = EXPORTS["roboflow"](tmp_path)
    rewrite(tmp_path / "valid" / "_annotations.coco.json", renumbered)
    data = opened(tmp_path, **settings)
    assert data.class_names == CLASSES
    assert found(data) == EXPECTED
    assert not [defect for defect in examine(data).defects if not defect.note]


def test_classes_without_objects_in_a_split_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = roboflow(tmp_path, NUMBERS[:6], [4])  # a picture without the third class
    data = opened(tmp_path, **settings)
    sentence = "has no object of Köpfe in val: they are not measured"
    assert sentence in capsys.readouterr().err
    assert [one.kind for one in examine(data).defects if one.what == sentence] == ["class without objects"]


def extra_class(content: dict[str, Any]) -> None:
    content["categories"].append({"id": 7, "name": "boot"})
    content["annotations"][0]["category_id"] = 7


def test_a_class_of_the_validation_alone_is_evaluated_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = EXPORTS["roboflow"](tmp_path)
    rewrite(tmp_path / "valid" / "_annotations.coco.json", extra_class)
    data = opened(tmp_path, **settings)
    assert data.class_names == (*CLASSES, "boot")
    labels = {split: packed.labels.tolist() for split, packed in data.splits.items()}
    assert labels["val"][0] == 4
    assert 4 not in labels["train"]
    sentence = "has no object of boot in train: they are not learned"
    assert sentence in capsys.readouterr().err
    assert sentence in {one.what for one in examine(COCODetectionDataModule(str(tmp_path), **settings)).defects}


def joints(content: dict[str, Any]) -> None:
    """Give the first class a skeleton, and its objects joints."""
    content["categories"][0] |= {"keypoints": ["Left_ear", "Right_ear"], "skeleton": [[1, 2]]}
    for row in content["annotations"]:
        if row["category_id"] == 1:
            row |= {"keypoints": [5, 6, 2, 7, 8, 1], "num_keypoints": 2}


def test_keypoints_of_own_files(tmp_path: Path) -> None:
    settings = cvat(tmp_path, NUMBERS)
    rewrite(tmp_path / settings["annotations"], joints)
    data = opened(tmp_path, COCOKeypointDataModule, **settings)
    assert (data.joint_names, data.joint_pairs, data.class_names) == (("Left_ear", "Right_ear"), [(1, 0)], CLASSES)
    for packed in data.splits.values():
        for _, target in (data.samples(packed, training=False)[index] for index in range(len(packed))):
            expected = [[2.0, 1.0] if label == 1 else [0.0, 0.0] for label in target["labels"].tolist()]
            assert target["keypoints"][..., 2].tolist() == expected


def test_one_of_several_skeletons_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def skeletons(content: dict[str, Any]) -> None:
        for kind, count in zip(content["categories"], (2, 3), strict=False):
            kind.update(keypoints=[f"joint {number}" for number in range(count)], skeleton=[])
        for row in content["annotations"]:
            row["keypoints"] = [[1, 1, 2] * 2, [2, 2, 2] * 3, []][row["category_id"] - 1]

    settings = cvat(tmp_path, NUMBERS)
    rewrite(tmp_path / settings["annotations"], skeletons)
    with pytest.raises(
        UserError, match=r"\(Hard Hat: 2, no-helmet: 3\): set data\.categories to those of one skeleton"
    ):
        opened(tmp_path, COCOKeypointDataModule, **settings)
    data = opened(tmp_path, COCOKeypointDataModule, categories=["no-helmet", "Köpfe"], **settings)
    assert (data.class_names, len(data.joint_names)) == (("no-helmet", "Köpfe"), 3)
    wanted = sorted([label - 1 for label, *_ in boxes(number) if label] for number in NUMBERS)
    taken = [
        data.samples(packed, training=False)[index][1]["labels"].tolist()
        for packed in data.splits.values()
        for index in range(len(packed))
    ]
    assert sorted([label - 1 for label in labels] for labels in taken) == wanted
    assert "has 8 of 22 objects of classes that data.categories leaves out" in capsys.readouterr().err
    assert any("data.categories leaves out" in defect.what for defect in examine(data).defects)


def no_file(root: Path, settings: dict[str, Any]) -> None:
    settings["annotations"] = "labels/al.json"


def moved_pictures(root: Path, settings: dict[str, Any]) -> None:
    del settings["images"]


def two_places(root: Path, settings: dict[str, Any]) -> None:
    settings.pop("images")
    shutil.copytree(root / "raw pictures", root / "labels" / "images")
    shutil.copytree(root / "raw pictures", root / "images")


def one_picture_less(root: Path, settings: dict[str, Any]) -> None:
    next((root / "raw pictures").iterdir()).unlink()


def embedded(root: Path, settings: dict[str, Any]) -> None:
    name = "data:image/png;base64," + "a/" * 300 + "b" * 400 + "?://[.png"
    rewrite(root / ALL, lambda content: content["images"][0].update(file_name=name))


def twice(root: Path, settings: dict[str, Any]) -> None:
    rewrite(root / "labels" / "all.json", lambda content: content["images"][1].update(file_name="./1_1.png"))


def shares(root: Path, settings: dict[str, Any]) -> None:
    def divide(content: dict[str, Any]) -> None:
        for row in content["annotations"]:
            row["bbox"] = [value / 64 for value in row["bbox"]]

    rewrite(root / "labels" / "all.json", divide)


def changed(**options: Any) -> Edit:
    """Return an edit that sets options."""
    return lambda _, settings: settings.update(options)


ALL = "labels/all.json"
BROKEN: list[tuple[Edit, str]] = [
    (no_file, r"The annotation file .*labels/al\.json is missing: name one of labels/all\.json"),
    (changed(annotations="labels"), "labels is a folder: name one of labels/all.json"),
    (changed(annotations={"trian": "a"}), "annotations names the split 'trian': choose from"),
    (changed(annotations={}), "annotations names no path: give one"),
    (changed(images="nowhere"), "nowhere is no folder, though"),
    (changed(images={"train": "raw pictures"}), "but annotations one file for all: give one"),
    (
        changed(annotations={"train": ALL}, images={"val": "a"}),
        "images names a folder for val, but annotations no file",
    ),
    (moved_pictures, r"lists images such as '1_1\.png', which are in none of the folders .*: set images to their"),
    (two_places, r"lists the image '.*', which is in .* and in .*: set images to one of the two"),
    (one_picture_less, r"is missing, though .*all\.json describes it: restore the image"),
    (embedded, r"data:image/png;base64,.* is missing, though .*all\.json describes it"),
    (twice, r"lists the image 1_1\.png a second time: fix the file"),
    (shares, "has boxes that all lie within one pixel, so the coordinates are shares of the image"),
    (changed(annotations={"train": ALL, "val": ALL}), "for train and for val: set split to divide it"),
    (
        changed(annotations={"train": ALL, "val": ALL}, split=Split()),
        r"split takes a share of 0\.2 for val, but annotations names a file for it: set split\.val to 0",
    ),
    (changed(annotations={"val": ALL}, split=Split()), "but annotations names none"),
    (changed(annotations=None), "name these with annotations"),
    (changed(annotations=None, images=None, categories=["Hard Hat"]), "categories is a setting of your own files"),
    (changed(categories=["hard hat"]), r"data\.categories names 'hard hat', but .*all\.json has Hard Hat"),
    (changed(train_sets=["train"]), "exclude each other: keep one of the two"),
    (changed(source="shapes"), "but source is shapes: set data.source to local"),
    (changed(split=Split(val=0.9, group="png")), "nothing is left to train on of 8 images"),
]


@pytest.mark.parametrize(("edit", "sentence"), BROKEN)
def test_own_files_with_one_thing_wrong_are_refused(tmp_path: Path, edit: Edit, sentence: str) -> None:
    settings = one_file(tmp_path, NUMBERS)
    edit(tmp_path, settings)
    with pytest.raises(UserError, match=sentence):
        opened(tmp_path, **settings)


def turn(file: Path, number: int, value: int) -> None:
    """Store a picture as a camera that was turned does: other pixels, and the orientation that turns them back."""
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(np.rot90(picture(number), {3: 2, 6: 1, 8: 3}[value])).save(file, exif=exif)


def unsized(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image.pop("width")


@pytest.mark.parametrize("value", [3, 6, 8])
def test_boxes_on_upright_pictures_stay_in_place(
    tmp_path: Path, value: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = one_file(tmp_path, NUMBERS)
    for number in NUMBERS:
        turn(tmp_path / "raw pictures" / f"{number % 4}_{number}.png", number, value)
    assert found(opened(tmp_path, **settings)) == EXPECTED
    told = capsys.readouterr().err
    assert told.count(f"(EXIF orientation {value} of ") == told.count("set data.exif to ignore.") == 1
    assert {(one.kind, one.note) for one in examine(COCODetectionDataModule(str(tmp_path), **settings)).defects} == {
        ("image not upright", True)
    }
    stored = opened(tmp_path, exif="ignore", **settings)
    if value == 3:
        assert found(stored) != EXPECTED
        assert "they are wrong here: set data.exif to apply." in capsys.readouterr().err
    else:
        with pytest.raises(UserError, match=r"is 48x64 pixels as stored and 64x48 upright .* set data\.exif to apply"):
            found(stored)
        rewrite(tmp_path / ALL, lambda content: [image.update(width=48, height=64) for image in content["images"]])
        with pytest.raises(UserError, match=r"is 64x48 pixels upright and 48x64 as stored .* set data\.exif to ignore"):
            found(opened(tmp_path, **settings))
    rewrite(tmp_path / ALL, unsized)
    assert found(opened(tmp_path, **settings)) == EXPECTED


def test_proposals_of_turned_pictures_are_refused(tmp_path: Path) -> None:
    settings = one_file(tmp_path, NUMBERS)
    turn(tmp_path / "raw pictures" / "3_3.png", 3, 3)
    with pytest.raises(UserError, match=r"but .*3_3\.png is not stored upright: set exif to ignore"):
        opened(tmp_path, proposals=Proposals(mode="single"), **settings)


@pytest.mark.parametrize("options", [{}, {"bits": 12}])
def test_pictures_of_16_bits_are_scaled_and_told(
    tmp_path: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = one_file(tmp_path, NUMBERS)
    for number in NUMBERS:
        sixteen_bits(tmp_path / "raw pictures" / f"{number % 4}_{number}.png", 4095 if number != 8 else 900)
    data = opened(tmp_path, split=Split(val=0), **settings, **options)
    brightest = [int(data.samples(data.splits["train"], False)[index][0].max()) for index in range(8)]
    assert brightest == [255] * 7 + ([56] if options else [224])
    told = [line for line in capsys.readouterr().err.splitlines() if "16 bits" in line]
    assert len(told) == 1
    assert "note: 8 of 8 training images that were examined have 16 bits" in told[0]
    assert ("12 bits are scaled to 8 (data.bits)" in told[0]) == bool(options)


def test_pictures_elsewhere_are_named_by_any_path(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_json(root / "a.json", records(NUMBERS, lambda number: f"{number}.png"))
    for number in NUMBERS:
        save(tmp_path / "pictures", f"{number}.png", number)
    assert found(opened(root, annotations="a.json", images="../pictures")) == EXPECTED
    assert found(opened(root, annotations="a.json", images=str(tmp_path / "pictures"))) == EXPECTED
