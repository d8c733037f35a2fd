import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from datamodules import COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule
from datamodules.coco.files import CATEGORIES
from datamodules.loading.packed import cache_folder
from lit_cv.errors import UserError
from tests.helpers.small_coco import JOINTS, SQUARE, record, write

RUNS = {"size": [30, 40], "counts": [600, 30, 570]}


def opened(kind: Callable[..., COCODetectionDataModule], root: Path, **options: Any) -> COCODetectionDataModule:
    data = kind(str(root), **{"batch_size": 1, "augmentation": "none", **options})
    data.prepare_data()
    data.setup()
    return data


def training_target(data: COCODetectionDataModule, index: int = 0) -> dict[str, torch.Tensor]:
    return data.train_dataloader().dataset[0, index][1]


def test_counts_of_the_real_subset(real_data: Path) -> None:
    counts = opened(COCOInstanceDataModule, real_data / "coco").counts
    assert [counts[f"train/{what}"] for what in ("images", "boxes", "crowds")] == [110, 1012, 9]
    assert [counts[f"val/{what}"] for what in ("images", "boxes", "crowds", "empty")] == [126, 1086, 14, 1]
    assert sum(counts[f"{split}/{what}"] for split in ("train", "val") for what in ("clipped", "dropped")) == 0
    assert sum(counts[f"{split}/without_mask"] for split in ("train", "val")) == 0
    counts = opened(COCOKeypointDataModule, real_data / "coco").counts
    assert [counts[f"train/{what}"] for what in ("images", "boxes", "crowds", "with_joints")] == [53, 124, 4, 52]
    assert [counts[f"val/{what}"] for what in ("images", "boxes", "crowds", "with_joints")] == [53, 79, 1, 49]


@pytest.mark.parametrize("kind", [COCODetectionDataModule, COCOInstanceDataModule])
def test_evaluation_targets_are_the_annotations_of_the_real_subset(
    real_data: Path, kind: Callable[..., COCODetectionDataModule]
) -> None:
    data = opened(kind, real_data / "coco")
    assert data.class_names == tuple(CATEGORIES.values())
    official = COCO(str(real_data / "coco" / "annotations" / "instances_val2017.json"))
    dataset = data.val_dataloader().dataset
    for index, image_id in enumerate(official.imgs):  # in the order of the file
        assert data.splits["val"].name(index) == f"val2017/{image_id:012d}.jpg"
        wanted = official.imgToAnns[image_id]
        _, target = dataset[0, index]
        names = [data.class_names[label - 1] for label in target["labels"].tolist()]
        assert names == [official.cats[row["category_id"]]["name"] for row in wanted]
        assert target["iscrowd"].tolist() == [row["iscrowd"] for row in wanted]
        boxes = target["boxes"].clone()
        boxes[:, 2:] -= boxes[:, :2]
        expected = np.array([row["bbox"] for row in wanted]).reshape(-1, 4)
        np.testing.assert_allclose(boxes.numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(target["area"].numpy(), [row["area"] for row in wanted], rtol=1e-6)


def test_keypoints_of_the_real_subset(real_data: Path) -> None:
    data = opened(COCOKeypointDataModule, real_data / "coco")
    official = COCO(str(real_data / "coco" / "annotations" / "person_keypoints_val2017.json"))
    dataset = data.val_dataloader().dataset
    assert data.class_names == ("person",)
    assert data.joint_names == tuple(official.cats[1]["keypoints"])
    assert [[start + 1, end + 1] for start, end in data.limbs] == official.cats[1]["skeleton"]
    names = [(data.joint_names[right], data.joint_names[left]) for right, left in data.joint_pairs]
    assert len(names) == 8
    assert all(right.replace("right_", "left_") == left for right, left in names)
    for index, image_id in enumerate(official.imgs):
        wanted = np.array([row["keypoints"] for row in official.imgToAnns[image_id]], dtype=np.float32)
        _, target = dataset[0, index]
        wanted = wanted.reshape(-1, 17, 3)
        wanted[..., :2][wanted[..., 2] > 0] += 0.5
        assert np.array_equal(target["keypoints"].numpy(), wanted)
        assert "mask_runs" not in target


def test_names_are_known_before_the_annotations_are_packed(tmp_path: Path) -> None:
    data = COCOKeypointDataModule(str(tmp_path))
    with pytest.raises(UserError, match=r"person_keypoints_train2017\.json is missing"):
        _ = data.class_names
    write(tmp_path, [record(1)])
    assert data.class_names == ("dog", "cat")
    assert (data.joint_names, data.joint_pairs, data.limbs) == (tuple(JOINTS), [(2, 1)], [])
    assert not cache_folder(tmp_path).exists()
    with pytest.raises(UserError, match="No COCO set is named"):
        _ = COCODetectionDataModule(str(tmp_path), train_sets=[], val_sets=[]).class_names


def test_targets_follow_the_contract(tmp_path: Path) -> None:
    write(tmp_path, [record(4, image=2), record(2), record(3, category_id=7, bbox=[0, 0, 40, 30], area=700)])
    data = opened(COCOKeypointDataModule, tmp_path, masks=True)
    assert data.class_names == ("dog", "cat")  # in ascending order of their ids
    target = training_target(data)
    assert {key: (value.dtype, tuple(value.shape)) for key, value in target.items()} == {
        "boxes": (torch.float32, (2, 4)), "labels": (torch.int64, (2,)), "area": (torch.float32, (2,)),
        "iscrowd": (torch.int64, (2,)), "keypoints": (torch.float32, (2, 3, 3)), "mask_runs": (torch.int64, (42,)),
        "mask_lengths": (torch.int64, (2,)), "mask_size": (torch.int64, (2,)), "image_id": (torch.int64, ()),
    }  # fmt: skip
    assert target["boxes"].tolist() == [[5, 5, 15, 15], [0, 0, 40, 30]]
    assert target["labels"].tolist() == [1, 2]
    assert target["area"].tolist() == [81.5, 700]
    assert target["mask_size"].tolist() == [30, 40]
    assert target["keypoints"][0].tolist() == [[6.5, 7.5, 2], [8.5, 9.5, 1], [0, 0, 0]]  # in the coordinates of boxes
    assert int(training_target(data, 1)["image_id"]) == 1


@pytest.mark.parametrize("kind", [COCODetectionDataModule, COCOInstanceDataModule, COCOKeypointDataModule])
@pytest.mark.parametrize("augmentation", ["none", "flip", "ssd_zoom"])
def test_crowds_are_evaluated_and_images_without_objects_trained_on(
    tmp_path: Path, kind: Callable[..., COCODetectionDataModule], augmentation: str
) -> None:
    write(tmp_path, [record(1, iscrowd=1, segmentation=RUNS), record(2, iscrowd=None)])
    data = opened(kind, tmp_path, val_sets=["train2017"], augmentation=augmentation)
    assert training_target(data)["iscrowd"].tolist() == [0]
    assert training_target(data, 1)["boxes"].shape == (0, 4)
    _, target = data.val_dataloader().dataset[0, 0]
    assert target["iscrowd"].tolist() == [1, 0]  # a missing flag is 0
    assert data.counts["train/crowds"] == data.counts["train/empty"] == 1


def test_boxes_are_clipped_and_those_without_an_area_dropped_and_counted(tmp_path: Path) -> None:
    boxes = [[-5, 10, 60, 30], [5, 5, 0, 10], [5, 5, 10, 0], [50, 5, 10, 10], [1, 2, 3, 4], [1, 2, -3, 4]]
    write(tmp_path, [record(number, bbox=box) for number, box in enumerate(boxes)])
    data = opened(COCOInstanceDataModule, tmp_path)
    target = training_target(data)
    assert target["boxes"].tolist() == [[0, 10, 40, 30], [1, 2, 4, 6]]
    assert len(target["mask_lengths"]) == 2
    assert (data.counts["train/clipped"], data.counts["train/dropped"], data.counts["train/boxes"]) == (1, 4, 2)


def test_objects_without_a_usable_mask_are_dropped_if_masks_are_requested(tmp_path: Path) -> None:
    masks = [[], None, [[1, 1, 2, 2]], [[1, 1, 9, 1, 5]], [[1, 1, 2, 2], SQUARE], RUNS]
    write(tmp_path, [record(number, segmentation=mask) for number, mask in enumerate(masks)])
    data = opened(COCOInstanceDataModule, tmp_path)
    assert len(training_target(data)["mask_lengths"]) == 2
    assert (data.counts["train/without_mask"], data.counts["train/polygons_dropped"]) == (4, 3)
    assert len(training_target(opened(COCODetectionDataModule, tmp_path))["labels"]) == 6


def two(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda whole: whole[text].append(whole[text][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, r"annotation 7 \(dog\) of image 9 is of an image that the file does not list: fix"),
        ({"category_id": 4}, r"annotation 7 .* has the category 4, which the file does not name: fix"),
        (
            {"area": "12 m"},
            r"has the annotation 7 that is not in COCO's format \(area is \"12 m\", not a number\): fix",
        ),
        ({"bbox": None}, r"has the annotation 7 that is not in COCO's format \('bbox' is missing\)"),
        ({"bbox": [1, 2, 3]}, r"has the annotation 7 .*\(bbox is \[1, 2, 3\], not \[x, y, width, height\]\): fix"),
        ({"bbox": [[1, 2], [3, 4]]}, r"has the annotation 7 .*\(bbox is \[\[1, 2\], \[3, 4\]\], not \[x, y"),
        ({"bbox": [1, 2, 3, 1e12]}, r"the box \(1, 2, 4, 1e\+12\) of annotation 7 .*not finite"),
        ({"bbox": [1, 2, 3, "x"]}, r'has the annotation 7 .*bbox is \[1, 2, 3, "x"\], not'),
        ({"image_id": "one"}, r"has the annotation 7 .*'one' is not an integer"),
        ({"image_id": 1.5}, r"has the annotation 7 .*\(image_id is 1.5, not a whole number\)"),
        ({"image_id": 2**63}, r"has the annotation 7 .*\(image_id is 9223372036854775808, not a whole number\)"),
        ({"image_id": 1e30}, r"has the annotation 7 .*\(image_id is 1e\+30, not a whole number\)"),
        ({"iscrowd": "no"}, r"has the annotation 7 .*\(iscrowd is \"no\", text"),
        ({"id": None}, r"has the annotation without id \(number 2 of the list\) .*'id' is missing"),
        ({"segmentation": {**RUNS, "size": [40, 30]}}, r"annotation 7 .* has an RLE of 30x40 .* of 40x30: fix"),
        ({"segmentation": {**RUNS, "counts": [5]}}, r"has the annotation 7 .*do not add up to its size"),
        ({"segmentation": {**RUNS, "counts": "0 0"}}, r"has the annotation 7 .*RLE is no compressed text"),
        ({"segmentation": [[1, 1, 2, 2, 3, "x"]]}, r"has the annotation 7 .*'x'"),
        ({"segmentation": [[1, 1, 2, 2, 1e9, 3]]}, r"has the annotation 7 .*100,000 pixels"),
        ({"segmentation": "polygon"}, r"has the annotation 7 .*neither polygons nor an RLE"),
        (
            {"segmentation": [[[1, 1], [9, 1], [9, 9], [1, 9]]]},
            r"has the annotation 7 .*\(segmentation has the corners "
            r"\[\[1, 1\], .*, not one flat list \[x1, y1, x2, y2, ...\] for each polygon",
        ),
        (
            {"segmentation": [[[k, k * k] for k in range(8)]]},
            r"has the annotation 7 .*the corners .*, not one flat list",
        ),
        ({"segmentation": SQUARE}, r"has the annotation 7 .*\(segmentation is \[5.0, 5.0, .*, not a list of polygons"),
        ({"segmentation": [RUNS]}, r"has the annotation 7 .*a list of RLEs; write the RLE without the brackets"),
        ({"segmentation": {"size": [30, 40]}}, r"has the annotation 7 .*an RLE whose 'counts' is missing"),
        (
            {"segmentation": {**RUNS, "size": 5}},
            r"has the annotation 7 .*an RLE whose size is 5, not \[height, width\]",
        ),
        ({"segmentation": {**RUNS, "counts": None}}, r"has the annotation 7 .*an RLE whose counts are null"),
    ],
)
def test_a_bad_annotation_is_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write(tmp_path, [record(1), record(7, **change), record(8, image=2)])
    with pytest.raises(UserError, match=message) as raised:
        opened(COCOInstanceDataModule, tmp_path)
    assert str(raised.value).startswith(str(file))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (two("images"), "has two images with the id 1: fix"),
        (two("annotations"), r"annotation 1 \(dog\) of image 1 has the id of another annotation: fix"),
        (two("categories"), "has two categories named 'cat'"),
        (lambda w: w["categories"].append({"id": 3, "name": "cow"}), "has two categories with the id 3"),
        (lambda w: w.pop("categories"), "lacks images, annotations or categories"),
        (lambda w: w.update(images=[]), "lacks images, annotations or categories"),
        (lambda w: w["images"][1].update(width="40"), r"has the image 2 .*width is \"40\", text; .*without quotes"),
        (lambda w: w["images"][1].update(height=-3), "has the image 2 .*height is -3, so it has no pixels"),
        (lambda w: w["images"][1].update(id="2"), r"has the image 2 .*id is \"2\", text; '2' is not an integer"),
        (
            lambda w: w["images"].append(5),
            r"has the image without id \(number 3 of the list\) .*it is 5, not an object",
        ),
        (lambda w: w["categories"][0].update(keypoints=5), "has the category 7 .*keypoints is 5, not a list of names"),
        (lambda w: w["categories"][0].pop("name"), "has the category 7 .*'name' is missing"),
        (lambda w: w["images"][1].update(file_name="3.png"), None),
        (lambda w: w["images"][1].update(file_name=3), "has the image 2 .*no text"),
    ],
)
def test_a_bad_file_is_one_sentence(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str | None
) -> None:
    file = write(tmp_path, [record(1)], edit)
    expected = message or rf"{tmp_path}/train2017/3\.png is missing, though {file} describes it: restore"
    with pytest.raises(UserError, match=expected):
        opened(COCODetectionDataModule, tmp_path)


@pytest.mark.parametrize("joints", [[1, 2, 2], [1, 2, 2] * 4])
def test_joints_of_another_count_are_refused(tmp_path: Path, joints: list[int]) -> None:
    write(tmp_path, [record(1), record(7, keypoints=joints)])
    message = f"annotation 7 .* has {len(joints)} keypoint numbers, but its category has 3 joints of three each"
    with pytest.raises(UserError, match=message):
        opened(COCOKeypointDataModule, tmp_path)
    opened(COCOInstanceDataModule, tmp_path)  # without joints, they are not checked


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w["annotations"][0].update(keypoints=[1, 2, 3] * 3), "flag is not 0, 1 or 2"),
        (
            lambda w: w["annotations"][0].update(keypoints=[[1, 2, 2]] * 3),
            r"has lists, such as \[1, 2, 2\], not one flat",
        ),
        (lambda w: w["annotations"][0].update(keypoints="none"), r'keypoints is "none", not a list'),
        (lambda w: w["annotations"][0].update(keypoints=[1, None, 2] * 3), "a joint that is not finite"),
        (lambda w: w["annotations"][0].update(num_keypoints="3"), 'num_keypoints is "3", text'),
        (lambda w: w["categories"][0].update(keypoints=JOINTS[:2]), "categories with different joints"),
        (lambda w: [kind.pop("keypoints") for kind in w["categories"]], r"no joints in its categories: use person"),
    ],
)
def test_bad_joints_are_one_sentence(tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    write(tmp_path, [record(1)], edit)
    with pytest.raises(UserError, match=message):
        opened(COCOKeypointDataModule, tmp_path)


def test_places_of_joints_without_label_are_zero(tmp_path: Path) -> None:
    write(tmp_path, [record(1, keypoints=[3, 4, 0] * 3), record(2, image=2)])
    target = training_target(opened(COCOKeypointDataModule, tmp_path))
    assert target["keypoints"].tolist() == [[[0, 0, 0]] * 3]  # the box is still trained on
    assert target["boxes"].tolist() == [[5, 5, 15, 15]]


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"instances_train2017\.json is missing: fix data.root, or set data.source to download"
    ):
        opened(COCODetectionDataModule, tmp_path)
    file = write(tmp_path, [record(1)])
    with pytest.raises(UserError, match=r"train2014\.json is missing: choose another set \(train2017, val2017\)"):
        opened(COCODetectionDataModule, tmp_path, train_sets=["train2014"])
    with pytest.raises(UserError, match="name a set twice"):
        opened(COCODetectionDataModule, tmp_path, train_sets=["val2017", "val2017"])
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"instances_train2017\.json is not valid JSON \(it is cut off after"):
        opened(COCODetectionDataModule, tmp_path)
    file.write_bytes(whole)
    (tmp_path / "train2017").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"train2017 is no folder, though .*json describes its images"):
        opened(COCODetectionDataModule, tmp_path)


def test_an_image_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, [record(1)], lambda whole: whole["images"][0].update(width=39))
    with pytest.raises(UserError, match=r"1\.png is 40x30 pixels but its annotation says 39x30"):
        training_target(opened(COCODetectionDataModule, tmp_path))


def test_sets_are_joined(tmp_path: Path) -> None:
    write(tmp_path, [record(1, image=2), record(2, image=2, segmentation=RUNS)])
    both = opened(COCOKeypointDataModule, tmp_path, train_sets=["train2017", "val2017"], masks=True)
    train, val = (
        opened(COCOKeypointDataModule, tmp_path, train_sets=[s], masks=True) for s in ("train2017", "val2017")
    )
    assert both.counts["train/images"] == 4
    expected = [training_target(data, index) for data in (train, val) for index in (0, 1)]
    assert [len(target["labels"]) for target in expected] == [0, 2, 1, 0]
    for index, target in enumerate(expected):
        joined = training_target(both, index)
        assert int(joined.pop("image_id")) == index
        assert all(torch.equal(joined[key], target[key]) for key in joined)
    write(tmp_path, [record(1)], lambda whole: whole["categories"][0].update(name="cow"))
    with pytest.raises(UserError, match="has other categories than"):
        opened(COCODetectionDataModule, tmp_path, train_sets=["train2017", "val2017"])
    with pytest.raises(UserError, match="differ in their categories"):
        opened(COCODetectionDataModule, tmp_path)


def test_the_cache_follows_the_files_and_the_fingerprint_the_content(tmp_path: Path) -> None:
    file = write(tmp_path, [record(1)])
    first = opened(COCOInstanceDataModule, tmp_path)
    cached = {path.name for path in first.splits["train"].folder.parent.iterdir()}
    again = opened(COCOInstanceDataModule, tmp_path)
    assert again.fingerprint == first.fingerprint
    assert {path.name for path in first.splits["train"].folder.parent.iterdir()} == cached
    os.utime(file, ns=(1, 1))
    touched = opened(COCOInstanceDataModule, tmp_path)
    assert touched.fingerprint == first.fingerprint
    assert touched.splits["train"].folder != first.splits["train"].folder
    write(tmp_path, [record(1, segmentation=RUNS)])
    assert opened(COCOInstanceDataModule, tmp_path).fingerprint != first.fingerprint
