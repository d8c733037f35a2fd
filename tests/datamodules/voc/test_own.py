"""XML files in folders of any names, as tools write them, and with one thing wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datamodules import VOCDetectionDataModule, VOCLocalizationDataModule
from datamodules.splits import Split
from lit_cv.errors import UserError

Box = tuple[str, int, int, int, int]
SIZE = "<size><width>64</width><height>48</height><depth>3</depth></size>"
OBJECTS: dict[str, list[Box]] = {
    "a": [("Hard Hat", 3, 4, 20, 30), ("person", 10, 10, 30, 40)],
    "b b": [("Hard Hat", 1, 1, 64, 48)],
    "c.1": [("no-vest", 5, 5, 25, 25), ("person", 1, 2, 3, 4)],
    "d 1": [],
}


def xml(objects: list[Box], filename: str = "") -> str:
    rows = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    )
    return f"<annotation><filename>{filename}</filename>{SIZE}{rows}</annotation>"


def write(
    root: Path, xmls: str = "xml", pictures: str = "pictures", suffix: str = ".png", objects: Any = OBJECTS
) -> Path:
    """Write pictures of 64x48 pixels, all different, and their XML files."""
    for name, boxes in objects.items():
        for folder in (xmls, pictures):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {".jpg": "JPEG", ".JPG": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
        color = (len(name) * 40, 10 * list(objects).index(name), 0)
        Image.new("RGB", (64, 48), color).save(root / pictures / f"{name}{suffix}", kind)
        (root / xmls / f"{name}.xml").write_text(xml(boxes, f"{name}{suffix}"))
    return root


def opened(root: Path, kind: Any = VOCDetectionDataModule, **options: Any) -> Any:
    data = kind(str(root), augmentation="none", **options)
    data.prepare_data()
    data.setup()
    return data


def names_of(data: Any, split: str) -> list[str]:
    return [data.splits[split].name(index) for index in range(len(data.splits[split]))]


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".bmp", ".webp", ".tif"])
def test_any_folder_and_suffix_and_blanks_are_read(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, suffix=suffix)
    (tmp_path / "train.txt").write_text("b b\n\n a \nc.1\n")
    (tmp_path / "val.txt").write_text("d 1\nc.1\n")
    data = opened(tmp_path, annotations="xml", images="pictures", lists={"train": "train.txt", "val": "val.txt"})
    assert data.class_names == ("Hard Hat", "no-vest", "person")
    assert names_of(data, "train") == [f"pictures/{name}{suffix}" for name in ("b b", "a", "c.1")]
    assert names_of(data, "val") == [f"pictures/d 1{suffix}", f"pictures/c.1{suffix}"]
    assert data.splits["train"].boxes.tolist() == [
        [0, 0, 64, 48], [2, 3, 20, 30], [9, 9, 30, 40], [4, 4, 25, 25], [0, 1, 3, 4]
    ]  # fmt: skip
    assert data.splits["train"].labels.tolist() == [1, 1, 3, 2, 3]
    told = capsys.readouterr().err
    assert told.count("so they are those of the annotations, sorted: Hard Hat, no-vest, person.") == 1


def labelimg(root: Path) -> dict[str, Any]:
    """LabelImg saves the XML beside the picture: github.com/HumanSignal/labelImg."""
    write(root, ".", ".")
    return {"split": Split(val=0.5)}


def roboflow(root: Path) -> dict[str, Any]:
    """docs.roboflow.com, "Pascal VOC": a folder for each split, XML files beside pictures."""
    items = list(OBJECTS.items())
    write(root, "train", "train", ".jpg", dict(items[:2]))
    write(root, "valid", "valid", ".jpg", dict(items[2:]))
    return {"annotations": {"train": "train", "val": "valid"}}


def cvat(root: Path) -> dict[str, Any]:
    """docs.cvat.ai/docs/dataset_management/formats/format-voc: pictures keep their folders."""
    write(root, "Annotations", "JPEGImages", ".jpg", {f"clip 1/{name}": boxes for name, boxes in OBJECTS.items()})
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/default.txt").write_text('"clip 1/a"\nclip 1/c.1\n')
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nperson:1,2,3::\nHard Hat:4,5,6::\nno-vest:7,8,9::\n"
    (root / "labelmap.txt").write_text(lines)
    lists = {"train": "ImageSets/Main/default.txt", "val": "ImageSets/Main/default.txt"}
    return {"annotations": "Annotations", "lists": lists}


@pytest.mark.parametrize("export", [labelimg, roboflow, cvat])
@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCLocalizationDataModule])
def test_exports_of_tools_are_read_as_they_are(tmp_path: Path, export: Callable[..., Any], kind: Any) -> None:
    data = opened(tmp_path, kind, **export(tmp_path))
    assert set(data.class_names) == {"Hard Hat", "no-vest", "person"}
    assert data.class_names[0] == ("person" if export is cvat else "Hard Hat")
    without_object = kind is VOCLocalizationDataModule and export is not cvat
    assert len(data.splits["train"]) + len(data.splits["val"]) == 4 - without_object
    image, target = data.dataset(data.splits["train"], True)[0]
    assert image.shape == (3, 48, 64)
    assert target["boxes"].shape[1] == 4


def test_the_file_name_decides_where_pictures_are_named_otherwise(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("a", "c.1"):
        (tmp_path / f"xml/{name}.xml").rename(tmp_path / f"xml/label of {name}.xml")
    shutil.copy(tmp_path / "pictures/b b.png", tmp_path / "pictures/b b.tiff")
    data = opened(tmp_path, annotations={"train": "xml"}, images="pictures")
    assert names_of(data, "train") == [f"pictures/{name}.png" for name in ("b b", "d 1", "a", "c.1")]


def test_pixels_may_count_from_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, objects={"a": [("x", 0, 4, 20, 30)]})
    opened(tmp_path, annotations={"train": "xml"})
    assert "has boxes that start at 0, as if corners counted from 0: if so, set data.first_pixel" in (
        capsys.readouterr().err
    )
    data = opened(tmp_path, annotations={"train": "xml"}, first_pixel=0)
    assert data.splits["train"].boxes.tolist() == [[0, 4, 20, 30]]
    with pytest.raises(
        UserError, match=r"No val data is configured: name files for val, or divide those of train with"
    ):
        data.val_dataloader()


def test_gaps_are_counted_and_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    for name in ("a", "d 1"):
        (tmp_path / f"xml/{name}.xml").unlink()
    opened(tmp_path, annotations={"train": "xml"})
    told = capsys.readouterr().err
    assert "has 2 pictures without an XML file, which are left out (a.png, ...)" in told
    (tmp_path / "train.txt").write_text("a\nb b\n")
    (tmp_path / "val.txt").write_text("c.1\n")
    data = opened(tmp_path, annotations="xml", lists={"train": "train.txt", "val": "val.txt"})
    told = capsys.readouterr().err
    assert "The annotation of pictures/a.png has no file, so the image counts as one without objects." in told
    assert "Classes of val without an object in train, so they cannot be learned: no-vest, person; move" in told
    assert data.splits["train"].counts["images"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"annotations": "labels"}, r"labels is no folder, though data\.annotations names it: fix the path"),
        ({"annotations": "pictures"}, r"pictures holds no XML file: set data\.annotations to another folder"),
        ({"annotations": "xml", "images": "xml"}, r"xml is no folder with pictures: set data\.images"),
        ({"annotations": "xml", "lists": {"train": "x.txt"}}, r"The image list .*x\.txt is missing: fix data\.lists"),
        ({"annotations": "xml", "lists": {"train": "bad.txt"}}, r"bad\.txt:2 names 'z 1', for which .*xml has no file"),
        ({"annotations": "xml", "lists": {"train": "twice.txt"}}, r"twice\.txt:2 names 'a\.png' a second time"),
        (
            {"annotations": "xml", "lists": {"trian": "x"}},
            "lists names the split 'trian': choose from train, val, test",
        ),
        ({"annotations": "xml", "lists": {"train": "x"}, "split": Split()}, "both choose the images of each split"),
        ({"annotations": {"train": "xml", "val": "xml"}, "split": Split()}, "split takes a share of 0.2 for val, but"),
        ({"annotations": "xml", "train_sets": ["2007_train"]}, "annotations and train_sets, .* exclude each other"),
        ({"annotations": "xml", "source": "download"}, "names your own folders, but source is download"),
        ({"classes": ["a"]}, r"data\.classes is a setting of your own folders: name these with data\.annotations"),
        ({"annotations": "xml", "classes": ["person", "person"]}, "has the name 'person' twice"),
        ({"annotations": "xml", "classes": "c.txt"}, r"The list of classes .*c\.txt is missing: fix data\.classes"),
        (
            {"annotations": "xml", "classes": ["x"]},
            r"\.xml has the unknown class '.*': fix it or list it in data",
        ),
        ({"annotations": "xml", "first_pixel": 2}, "first_pixel is 2: give 0 or 1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write(tmp_path)
    (tmp_path / "bad.txt").write_text("a\nz 1\n")
    (tmp_path / "twice.txt").write_text("a\na.png\n")
    with pytest.raises(UserError, match=message) as raised:
        opened(tmp_path, **options)
    assert "\n" not in str(raised.value)


def test_two_pictures_for_one_annotation_are_refused_and_the_doctor_lists_them(tmp_path: Path) -> None:
    write(tmp_path)
    shutil.copy(tmp_path / "pictures/a.png", tmp_path / "pictures/a.tif")
    (tmp_path / "xml/a.xml").write_text(xml(OBJECTS["a"], "a"))
    (tmp_path / "pictures/d 1.png").unlink()
    data = VOCDetectionDataModule(str(tmp_path), annotations={"train": "xml"}, images="pictures")
    with pytest.raises(UserError, match=r"pictures/a\.png and a\.tif could both be the picture of .*a\.xml: remove"):
        data.prepare_data()
    survey = data.survey("train")
    assert [defect.file.name for defect in survey.defects if not defect.note] == ["a.xml", "d 1.xml"]
    assert "d 1.png is missing, though" in survey.defects[-1].sentence


def test_the_doctor_lists_each_unusable_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "xml/a.xml").write_text("<annotation>")
    (tmp_path / "xml/d 1.xml").write_text("<annotation><object/></annotation>")
    data = VOCDetectionDataModule(str(tmp_path), annotations={"train": "xml"}, images="pictures")
    survey = data.survey("train")
    assert [defect.file.name for defect in survey.defects if not defect.note] == ["a.xml", "d 1.xml"]
    assert len(survey.images) > 2
    with pytest.raises(UserError, match=r"(a|d 1)\.xml is no"):
        VOCDetectionDataModule(str(tmp_path), annotations={"train": "xml"}, images="pictures").prepare_data()
