"""Every known form is recognized by names and heads of files; anything else is one sentence."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from datamodules.forms.form import as_yaml
from datamodules.forms.recognize import recognize
from lit_cv.errors import UserError

Files = dict[str, bytes]
SPLIT = {"val": 0.2, "seed": 1}
JOINTS = ["left_wing", "right_wing"]


def coco(*names: str, masks: bool = True, joints: bool = False, caption: bool = False) -> bytes:
    annotation: dict[str, Any] = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 4, 4],
        "area": 16,
        "iscrowd": 0,
    }
    annotation |= {"segmentation": [[1, 1, 5, 1, 5, 5]]} if masks else {"segmentation": []}
    annotation |= {"keypoints": [1, 1, 2, 4, 4, 2], "num_keypoints": 2} if joints else {}
    annotation |= {"caption": "a bee on a flower"} if caption else {}
    images = [{"id": n, "file_name": name, "width": 8, "height": 8} for n, name in enumerate(names, 1)]
    category = {"id": 1, "name": "honey bee"} | ({"keypoints": JOINTS, "skeleton": [[1, 2]]} if joints else {})
    return json.dumps({"info": {}, "images": images, "annotations": [annotation], "categories": [category]}).encode()


def picture(mode: str = "RGB", *values: Any) -> bytes:
    file, image = io.BytesIO(), Image.new(mode, (8, 8))
    for place, value in enumerate(values):
        image.putpixel((place, 0), value)
    image.save(file, "PNG")
    return file.getvalue()


def flat(*names: str) -> Files:
    return dict.fromkeys(names, b"")


def boxes_and(task: str, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"detection": settings, task: settings}


XML = b"<annotation><filename>a b.png</filename><object><name>honey bee</name></object></annotation>"
YAML = b"train: ../train/images\nval: ../valid/images\nnames: [honey bee, wasp]\n"
FORMS: dict[str, tuple[Files, dict[str, dict[str, Any]]]] = {
    "Roboflow COCO": (
        {f"{part}/_annotations.coco.json": coco("a.jpg", masks=False) for part in ("train", "valid", "test")}
        | flat("train/a.jpg", "valid/a.jpg", "test/a.jpg", "README.roboflow.txt"),
        {
            "detection": {
                "annotations": {
                    "train": "train/_annotations.coco.json",
                    "val": "valid/_annotations.coco.json",
                    "test": "test/_annotations.coco.json",
                }
            }
        },
    ),
    "Roboflow COCO without validation": (
        {f"{part}/_annotations.coco.json": coco("a.jpg", masks=False) for part in ("train", "test")}
        | flat("train/a.jpg", "test/a.jpg"),
        {
            "detection": {
                "annotations": {"train": "train/_annotations.coco.json", "test": "test/_annotations.coco.json"},
                "split": SPLIT,
            }
        },
    ),
    "CVAT COCO": (
        {"annotations/instances_default.json": coco("a b.png")} | flat("images/default/a b.png"),
        boxes_and(
            "instances",
            {"annotations": "annotations/instances_default.json", "images": "images/default", "split": SPLIT},
        ),
    ),
    "CVAT COCO with subsets": (
        {f"annotations/instances_{part}.json": coco(f"{part}.png") for part in ("Train", "Validation")}
        | flat("images/Train/Train.png", "images/Validation/Validation.png"),
        boxes_and(
            "instances",
            {
                "annotations": {
                    "train": "annotations/instances_Train.json",
                    "val": "annotations/instances_Validation.json",
                },
                "images": {"train": "images/Train", "val": "images/Validation"},
            },
        ),
    ),
    "CVAT keypoints": (
        {"annotations/person_keypoints_default.json": coco("a.jpg", masks=False, joints=True)} | flat("images/a.jpg"),
        boxes_and(
            "pose",
            {"annotations": "annotations/person_keypoints_default.json", "images": "images", "split": SPLIT},
        ),
    ),
    "Label Studio COCO": (
        {"result.json": coco("images/1f-a.jpg")} | flat("images/1f-a.jpg"),
        boxes_and("instances", {"annotations": "result.json", "split": SPLIT}),
    ),
    "Label Studio COCO with paths of its server": (
        {"result.json": coco("..\\\\media\\upload\\1f-a.jpg")} | flat("images/1f-a.jpg"),
        boxes_and("instances", {"annotations": "result.json", "images": "images", "split": SPLIT}),
    ),
    "Label Studio COCO with URLs": (
        {"result.json": coco("/data/local-files/?d=day%201/1f-a%20b.jpg")} | flat("images/1f-a b.jpg"),
        boxes_and("instances", {"annotations": "result.json", "images": "images", "split": SPLIT}),
    ),
    "labelme2coco": (
        {"annotations.json": coco("JPEGImages/a.jpg")} | flat("JPEGImages/a.jpg"),
        boxes_and("instances", {"annotations": "annotations.json", "split": SPLIT}),
    ),
    "one COCO file elsewhere": (
        {"labels/all of them.json": coco("a.jpg")} | flat("photos/day 1/a.jpg"),
        boxes_and(
            "instances",
            {"annotations": "labels/all of them.json", "images": "photos/day 1", "split": SPLIT},
        ),
    ),
    "captions with boxes": (
        {"captions.json": coco("a.jpg", masks=False, caption=True)} | flat("a.jpg"),
        boxes_and("captioning", {"annotations": "captions.json", "split": SPLIT}),
    ),
    "YOLO": (
        {"data.yaml": YAML, "train/labels/a.txt": b"0 0.5 0.5 0.2 0.2\n"}
        | flat("train/images/a.jpg", "valid/images/b.jpg"),
        {"detection": {}},
    ),
    "YOLO polygons under another name": (
        {
            "set.yml": b"path: .\ntrain: images\nval:\nnames: {0: honey bee}\n",
            "labels/a.txt": b"0 0.1 0.1 0.5 0.1 0.5 0.5\n",
        }
        | flat("images/a.jpg"),
        boxes_and("instances", {"file": "set.yml", "split": SPLIT}),
    ),
    "VOC folders": (
        {"Annotations/a b.xml": XML} | flat("JPEGImages/a b.png"),
        {"detection": {"annotations": "Annotations", "images": "JPEGImages", "split": SPLIT}},
    ),
    "VOC beside the pictures": (
        {"a b.xml": XML} | flat("a b.png"),
        {"detection": {"annotations": ".", "images": ".", "split": SPLIT}},
    ),
    "CVAT VOC with masks": (
        {
            "Annotations/a.xml": XML,
            "SegmentationClass/a.png": picture(),
            "SegmentationObject/a.png": picture(),
            "ImageSets/Main/default.txt": b"a\n",
            "labelmap.txt": b"# label:color_rgb:parts:actions\n",
        }
        | flat("JPEGImages/a.jpg"),
        {
            "detection": {"annotations": "Annotations", "images": "JPEGImages", "first_pixel": 0, "split": SPLIT},
            "segmentation": {"images": "JPEGImages", "masks": "SegmentationClass", "split": SPLIT},
        },
    ),
    "Roboflow VOC": (
        {"train/a.xml": XML, "valid/b.xml": XML} | flat("train/a.jpg", "valid/b.jpg"),
        {
            "detection": {
                "annotations": {"train": "train", "val": "valid"},
                "images": {"train": "train", "val": "valid"},
            }
        },
    ),
    "VOC in folders of folders, counted from 0": (
        {"xml/day 1/a.xml": XML + b"<xmin>0</xmin>", "xml/day 2/a.xml": XML}
        | flat("img/day 1/a.jpg", "img/day 2/a.jpg"),
        {"detection": {"annotations": "xml", "images": "img", "first_pixel": 0, "split": SPLIT}},
    ),
    "VOC with lists": (
        {"labels/a.xml": XML, "ImageSets/Main/train.txt": b"a", "ImageSets/Main/val.txt": b"a"} | flat("images/a.jpg"),
        {
            "detection": {
                "annotations": "labels",
                "images": "images",
                "lists": {"train": "ImageSets/Main/train.txt", "val": "ImageSets/Main/val.txt"},
            }
        },
    ),
    "masks in a folder for each split": (
        {f"masks/{part}/a.png": picture("L", 255) for part in ("train", "val")}
        | {"classes.txt": b"bee"}
        | flat("images/train/a.jpg", "images/val/a.jpg"),
        {
            "segmentation": {
                "images": {"train": "images/train", "val": "images/val"},
                "masks": {"train": "masks/train", "val": "masks/val"},
            }
        },
    ),
    "gray pictures with white masks": (
        {"images/a.png": picture("L"), "masks/a.png": picture("L", 255)},
        {
            "segmentation": {
                "images": "images",
                "masks": "masks",
                "classes": ["object"],
                "mask_values": {255: 1},
                "split": SPLIT,
            }
        },
    ),
    "official VOC": (
        {
            "VOCdevkit/VOC2012/ImageSets/Main/train.txt": b"a",
            "VOCdevkit/VOC2012/ImageSets/Main/val.txt": b"a",
            "VOCdevkit/VOC2012/Annotations/a.xml": XML,
        }
        | flat("VOCdevkit/VOC2012/JPEGImages/a.jpg"),
        {"detection": {"train_sets": ["2012_train"], "val_sets": ["2012_val"]}},
    ),
    "official COCO": (
        {
            f"annotations/{kind}_{part}2017.json": coco("a.jpg", joints=kind == "person_keypoints")
            for kind in ("instances", "person_keypoints")
            for part in ("train", "val")
        }
        | flat("train2017/a.jpg", "val2017/a.jpg"),
        {"detection": {}, "instances": {}, "pose": {}},
    ),
    "Leeds Sports Pose": (flat("joints.mat", "images/im0001.jpg"), {"pose": {"val_fraction": 0.2}}),
    "MPII": (flat("annot/train.json", "annot/valid.json", "images/a.jpg"), {"pose": {"annotations": "json"}}),
    "Visual Genome": (
        flat("region_descriptions.json", "image_data.json", "densecap_splits.json", "VG_100K/1.jpg"),
        {"captioning": {"train_sets": ["densecap_train"], "val_sets": ["densecap_val"]}},
    ),
}


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_recognized_with_its_data_block(name: str, tmp_path: Path) -> None:
    files, wanted = FORMS[name]
    folder = write(tmp_path / "my data", files)
    found = {task: block["init_args"] for form in recognize(folder) for task, block in form.data.items()}
    assert found == {task: {"root": str(folder), **settings} for task, settings in wanted.items()}
    assert not [note for form in recognize(folder) for note in form.notes]
    for form in recognize(folder):
        for block in form.data.values():
            assert yaml.safe_load(as_yaml(block)) == {"data": block}


MASKS = {
    "indices": (picture("L", 2, 255), {"classes": ["class_1", "class_2"]}),
    "palette": (picture("P", 1), {"classes": ["class_1"]}),
    "colors": (picture("RGB", (0, 128, 0), (224, 224, 192)), {"palette": {"class_1": [0, 128, 0]}}),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("place", ["", "y/"])
def test_masks_whose_classes_nothing_names_are_numbered(name: str, place: str, tmp_path: Path) -> None:
    mask, classes = MASKS[name]
    (form,) = recognize(write(tmp_path, {f"{place}a_mask.png": mask, "x/a.png" if place else "a.png": picture()}))
    settings = {"images": "x" if place else ".", "masks": place.rstrip("/") or ".", "mask_suffix": "_mask"}
    found = form.data["segmentation"]["init_args"]
    assert found == {"root": str(tmp_path), **settings, **classes, "split": SPLIT}
    assert "write their names in place of class_1" in form.notes[0]


def test_joints_and_folders_of_pictures_are_known(tmp_path: Path) -> None:
    (form,) = recognize(write(tmp_path, FORMS["CVAT keypoints"][0]))
    assert (form.joints, form.pictures) == (tuple(JOINTS), ("images",))


def test_pictures_that_are_elsewhere_are_told(tmp_path: Path) -> None:
    (form,) = recognize(write(tmp_path, {"annotations/instances_default.json": coco("a.jpg")}))
    assert "images of annotations/instances_default.json are not in this folder" in form.notes[0]


UNKNOWN: dict[str, tuple[Files, str]] = {
    "pictures alone": (flat("a.jpg", "b.jpg", "c.png"), "seen: 2 .jpg, 1 .png"),
    "nothing": ({}, "it holds no file"),
    "YOLO labels without data.yaml": (
        {"classes.txt": b"bee\n", "labels/a.txt": b"0 0.5 0.5 0.2 0.2\n"} | flat("images/a.jpg"),
        "write a data.yaml",
    ),
    "LabelMe's own files": ({"a.json": b'{"version": "5", "shapes": [], "imagePath": "a.jpg"}'}, "labelme2coco"),
    "Label Studio's own file": (
        {"export.json": b'[{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}]'},
        "export it as COCO",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_form_is_one_sentence_with_what_was_seen(name: str, tmp_path: Path) -> None:
    files, said = UNKNOWN[name]
    with pytest.raises(UserError, match="has no form of data that is known") as error:
        recognize(write(tmp_path, files))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        recognize(tmp_path / "none")


def test_a_damaged_file_is_recognized_by_its_beginning(tmp_path: Path) -> None:
    files = {"all.json": coco("a.jpg")[:-1]} | flat("a.jpg")
    assert recognize(write(tmp_path, files))[0].tasks == ("detection", "instances")


def test_a_folder_of_many_files_is_recognized_by_few_of_them(tmp_path: Path) -> None:
    names = [f"{number:06}.jpg" for number in range(10_000)]  # 100,000 take 0.5 s
    write(tmp_path, {"result.json": coco(*names)} | flat(*(f"images/{name}" for name in names)))
    start = time.process_time()  # the time of this process alone: others may be at work
    (form,) = recognize(tmp_path)
    assert time.process_time() - start < 0.3
    assert form.data["detection"]["init_args"]["images"] == "images"
