"""Gaps of annotation files that are filled and told, and files that leave nothing to learn."""

import codecs
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.doctor import examine
from lit_cv.errors import UserError
from tests.helpers.small_coco import JOINTS, SQUARE, record, write

Kind = type[COCODetectionDataModule]
Edit = Callable[[dict[str, Any]], None]


def opened(kind: Kind, root: Path, **options: Any) -> COCODetectionDataModule:
    data = kind(str(root), **{"batch_size": 1, "augmentation": "none", **options})  # type: ignore[call-arg]
    data.prepare_data()
    data.setup()
    return data


def target(data: COCODetectionDataModule) -> dict[str, Any]:
    found: dict[str, Any] = data.train_dataloader().dataset[0, 0][1]
    return found


def unsized(whole: dict[str, Any]) -> None:
    whole["images"][0].pop("width")
    whole["images"][0]["height"] = None
    whole["images"][1]["width"] = 0


def as_floats(whole: dict[str, Any]) -> None:
    whole["images"][0].update(id=1.0, width=40.0, height=30.0)
    whole["annotations"][0].update(image_id=1.0, category_id=3.0, iscrowd=0.0, id=1.0)
    whole["categories"][0]["id"] = 7.0


def from_windows(whole: dict[str, Any]) -> None:
    whole["images"][0]["file_name"] = "..\\train2017\\1.png"
    whole["images"][1]["file_name"] = "train2017/2.png"


def with_root(whole: dict[str, Any]) -> None:
    whole["categories"].append({"id": 0, "name": "cat", "supercategory": "none"})


def joints_of_one_class(whole: dict[str, Any]) -> None:
    whole["categories"][0].pop("keypoints")
    whole["annotations"].append(record(9, category_id=7, keypoints=None, area=5))


def numbered_joints(whole: dict[str, Any]) -> None:
    for kind in whole["categories"]:
        kind["keypoints"] = [1, 2, 3]


FILLED = [
    (lambda w: w["annotations"][0].pop("area"), "has 1 of 1 annotations without area: width x height"),
    (lambda w: w["annotations"][0].update(area=None), "has 1 of 1 annotations without area: width x height"),
    (lambda w: w["annotations"][0].update(iscrowd=None), "has 1 of 1 annotations without iscrowd"),
    (lambda w: w["annotations"][0].pop("iscrowd"), "has 1 of 1 annotations without iscrowd"),
    (unsized, "has 2 images without width and height: those of the image files are taken"),
    (as_floats, None),
    (from_windows, r"names 2 images by paths from elsewhere, such as '..\\train2017\\1.png'"),
    (with_root, "has no annotation of the category 0, named 'cat' like another one: it is left out"),
]


@pytest.mark.parametrize(("edit", "note"), FILLED)
def test_gaps_are_filled_and_told_once(
    tmp_path: Path, edit: Edit, note: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [record(1, area=100)])
    whole = target(opened(COCOInstanceDataModule, tmp_path))
    names = opened(COCOInstanceDataModule, tmp_path).class_names
    capsys.readouterr()
    file = write(tmp_path, [record(1, area=100)], edit)
    data = opened(COCOInstanceDataModule, tmp_path)
    assert data.class_names == names == COCOInstanceDataModule(str(tmp_path)).class_names
    filled = target(data)
    assert {key: value.tolist() for key, value in filled.items()} == {
        key: value.tolist() for key, value in whole.items()
    }
    told = capsys.readouterr().err.splitlines()
    found = examine(data).defects
    assert [one.note for one in found] == [True] * len(told) == [True] * (note is not None)
    for line, one in zip(told, found, strict=True):
        assert line == f"note: {file} {one.what}."
        assert note is not None
        assert one.what.startswith(note)


def test_objects_and_classes_without_joints_are_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, [record(1), record(2, keypoints=None)], joints_of_one_class)
    data = opened(COCOKeypointDataModule, tmp_path, val_sets=[])
    assert (data.joint_names, data.class_names) == (tuple(JOINTS), ("dog", "cat"))
    assert target(data)["keypoints"][:, :, 2].tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert target(data)["labels"].tolist() == [1, 1, 2]
    people = file.with_name("person_keypoints_train2017.json")
    assert capsys.readouterr().err == (
        f"note: {people} has 2 of 3 annotations without keypoints: they are boxes without labeled joints.\n"
    )
    assert [defect.kind for defect in examine(data).defects] == ["missing keypoints"]


@pytest.mark.parametrize("limb", [[1, 9], [0, 1], ["nose", "ear"], [1], 5, None])
def test_limbs_of_no_joints_are_left_out_and_told(
    tmp_path: Path, limb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [record(1)], lambda w: [kind.update(skeleton=[[1, 2], limb, [2, 3]]) for kind in w["categories"]])
    data = opened(COCOKeypointDataModule, tmp_path, val_sets=[])
    assert data.limbs == [(0, 1), (1, 2)]
    assert f"has the limb {limb} in its skeleton, but joints 1 to 3" in capsys.readouterr().err
    assert [(defect.kind, defect.note) for defect in examine(data).defects] == [("unusable limb", False)]


def test_numeric_names_are_text(tmp_path: Path) -> None:
    write(tmp_path, [record(1)], numbered_joints)
    assert opened(COCOKeypointDataModule, tmp_path, val_sets=[]).joint_names == ("1", "2", "3")
    write(tmp_path, [record(1)], lambda whole: whole["categories"][0].update(name=5))
    assert opened(COCODetectionDataModule, tmp_path, val_sets=[]).class_names == ("dog", "5")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path, [record(1)])
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert opened(COCODetectionDataModule, tmp_path).counts["train/boxes"] == 1


def shares(record: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return record | {"bbox": [0.1, 0.2, 0.3, 0.5], **fields}


NOTHING = [
    (COCODetectionDataModule, [], "has no annotation, so there is nothing to train on"),
    (
        COCOInstanceDataModule,
        [record(1, segmentation=[]), record(2, segmentation=None), record(3, bbox=[50, 5, 9, 9])],
        "leaves nothing to train on: of 3 annotations, 1 without an area, 2 without a usable mask; fix them",
    ),
    (
        COCODetectionDataModule,
        [record(1, iscrowd=1), record(2, bbox=[3, 3, 0, 9])],
        "leaves nothing to train on: of 2 annotations, 1 without an area, 1 that are crowds",
    ),
    (COCODetectionDataModule, [shares(record(1)), shares(record(2))], "has boxes that all lie within one pixel"),
    (
        COCOInstanceDataModule,
        [record(1, segmentation=[[0.1, 0.1, 0.5, 0.1, 0.5, 0.9]])],
        "has polygons that all lie within one pixel, so the coordinates are shares of the image",
    ),
    (
        COCOKeypointDataModule,
        [record(1, keypoints=[0.2, 0.3, 2, 0.5, 0.6, 1, 0, 0, 0])],
        "has keypoints that all lie within one pixel",
    ),
    (COCOKeypointDataModule, [record(1, keypoints=None), record(2, keypoints=[0] * 9)], "labels no joint of 2 annot"),
]


@pytest.mark.parametrize(("kind", "annotations", "reason"), NOTHING)
def test_sets_that_leave_nothing_to_learn_are_refused(
    tmp_path: Path, kind: Kind, annotations: list[dict[str, Any]], reason: str
) -> None:
    write(tmp_path, annotations)
    for _ in range(2):  # also with a cache
        with pytest.raises(UserError, match=reason):
            opened(kind, tmp_path)
    defects = examine(kind(str(tmp_path))).defects
    assert any(defect.what.startswith(reason) and not defect.note for defect in defects)


def test_dropped_objects_and_polygons_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = [record(1), record(2, segmentation=[]), record(3, bbox=[5, 5, 0, 9])]
    file = write(tmp_path, [*annotations, record(4, segmentation=[SQUARE, [1, 2, 3]])])
    opened(COCOInstanceDataModule, tmp_path)
    assert capsys.readouterr().err.splitlines() == [
        f"note: {file}: 2 of 4 objects are left out (1 without an area within their image, 1 without a usable mask).",
        f"note: {file}: 1 polygons are left out, which are not at least three pairs of x and y.",
    ]


def test_boxes_that_reach_far_outside_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As when corners are written in the place of width and height."""
    inside = [record(number, bbox=[5, 5, 10, 10.5]) for number in range(1, 5)]
    file = write(tmp_path, [*inside, record(5, bbox=[20, 15, 35, 28])])
    opened(COCODetectionDataModule, tmp_path)
    note = f"note: {file}: 1 of 5 boxes reach outside their image and are clipped"
    assert f"{note}.\n" in capsys.readouterr().err
    file = write(tmp_path, [*inside[:2], record(5, bbox=[20, 15, 35, 28])])
    opened(COCODetectionDataModule, tmp_path)
    assert ": 1 of 3 boxes reach outside their image and are clipped, as if their size" in capsys.readouterr().err


def test_doctor_names_each_unusable_record(tmp_path: Path) -> None:
    """Even if none is usable: the file is a COCO file all the same."""
    file = write(
        tmp_path, [record(1), record(2)], lambda w: [image.update(id=str(image["id"])) for image in w["images"]]
    )
    defects = examine(COCODetectionDataModule(str(tmp_path), val_sets=[])).defects
    unusable = [defect for defect in defects if defect.kind == "unusable record"]
    assert [(d.file, d.what.split("(")[0]) for d in unusable] == [
        (file, f"has the image {number} that is not in COCO's format ") for number in (1, 2)
    ]
    assert all("text; " in defect.what and "without quotes" in defect.what for defect in unusable)
    assert {defect.kind for defect in defects} == {"unusable record"}  # not that there is nothing to train on


def test_one_file_that_lists_an_image_twice_shares_nothing(tmp_path: Path) -> None:
    write(tmp_path, [record(1)], lambda whole: whole["images"][1].update(file_name="1.png"))
    with pytest.raises(UserError, match=r"lists the image 1\.png a second time: fix the file"):
        opened(COCODetectionDataModule, tmp_path)
    shutil.rmtree(tmp_path / "annotations")
    write(tmp_path, [record(1)], lambda whole: whole["images"][1].update(file_name=".\\1.png"))
    with pytest.raises(UserError, match=r"lists the image 1\.png a second time"):
        opened(COCODetectionDataModule, tmp_path)


def test_annotations_as_an_object_are_not_called_invalid(tmp_path: Path) -> None:
    file = write(tmp_path, [record(1)])
    whole = json.loads(file.read_text())
    file.write_text(json.dumps(whole | {"annotations": {"1": whole["annotations"][0]}}))
    with pytest.raises(UserError, match=r"has an object under 'annotations', not a list of records: write it as"):
        opened(COCODetectionDataModule, tmp_path)


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["eye_left", "eye_right", "nose"], [(1, 0)]),
        (["Left_x", "Right_x", "mid"], [(1, 0)]),
        (["l_x", "x", "r_x"], [(2, 0)]),
        (["x_l", "x_r", "y"], [(1, 0)]),
        (["lx", "rx", "y"], [(1, 0)]),
        (["RX", "y", "LX"], [(0, 2)]),
        (["xLeft", "xRight", "lower"], [(1, 0)]),
        (["x left", "x right", "lip"], [(1, 0)]),
        (["LeftEye", "nose", "RightEye"], [(2, 0)]),
        (["eyeR", "eyeL", "nose"], [(0, 1)]),
        (["head", "tail", "bright"], []),  # no side at all
    ],
)
def test_pairs_are_found_by_the_names(
    tmp_path: Path, names: list[str], pairs: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [record(1)], lambda w: [kind.update(keypoints=names) for kind in w["categories"]])
    data = opened(COCOKeypointDataModule, tmp_path, val_sets=[], augmentation="flip")
    assert data.joint_pairs == pairs
    assert capsys.readouterr().err == ""
    samples = [data.train_dataloader().dataset[epoch, 0][1]["keypoints"][0, :, 2].tolist() for epoch in range(16)]
    order = list(range(3))
    for right, left in pairs:
        order[right], order[left] = left, right
    assert {*map(tuple, samples)} == {(2, 1, 0), tuple([2, 1, 0][place] for place in order)}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["left_x", "nose", "right_y"], "of the joints left_x, right_y the other side is missing"),
        (["l_x", "nose", "r_y"], "of the joints l_x, r_y the other side is missing"),
        (["leftear", "L1", "L2"], "of the joints leftear the other side is missing"),
        (["1", "2", "3"], "the names of the joints, such as '1' and '2', do not tell left from right"),
        (["kp_1", "kp_2", "kp_3"], "the names of the joints, such as 'kp_1' and 'kp_2', do not tell"),
    ],
)
@pytest.mark.parametrize("augmentation", ["flip", "ssd"])
def test_images_are_not_mirrored_while_the_sides_are_unknown(
    tmp_path: Path, names: list[str], reason: str, augmentation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [record(1)], lambda w: [kind.update(keypoints=names) for kind in w["categories"]])
    options = {"val_sets": [], "augmentation": augmentation}
    data = opened(COCOKeypointDataModule, tmp_path, **options)
    assert f"lets no image be mirrored (HorizontalFlip is left out): {reason}" in capsys.readouterr().err
    assert [(one.kind, one.note) for one in examine(data).defects] == [("joints without sides", True)]
    dataset = data.train_dataloader().dataset
    if augmentation == "flip":
        assert dataset.augmentation is None
    else:
        transforms = [type(transform).__name__ for transform in dataset.augmentation.compose.transforms]
        assert transforms == ["IoUCrop", "PhotometricDistortion"]

    known = opened(COCOKeypointDataModule, tmp_path, flip_pairs=[(names[0], names[2])], **options)
    assert (known.joint_pairs, capsys.readouterr().err) == ([(0, 2)], "")
    assert known.train_dataloader().dataset.augmentation is not None
    assert opened(COCOKeypointDataModule, tmp_path, joint_pairs=[], **options).joint_pairs == []
    with pytest.raises(UserError, match=f"flip_pairs names 'x', which is no joint: choose from {names[0]}, "):
        _ = opened(COCOKeypointDataModule, tmp_path, flip_pairs=[("x", names[0])], **options).joint_pairs
    with pytest.raises(UserError, match="two names of one setting: keep flip_pairs"):
        COCOKeypointDataModule(str(tmp_path), flip_pairs=[], joint_pairs=[])
    with pytest.raises(UserError, match=f"joint_pairs names '{names[0]}' twice"):
        examine(COCOKeypointDataModule(str(tmp_path), joint_pairs=[(names[0], names[0])], **options))
    with pytest.raises(UserError, match=f"joint_pairs names '{names[0]}' twice"):
        opened(COCOKeypointDataModule, tmp_path, val_sets=[], joint_pairs=[(names[0], names[0])])  # at once, unmirrored
