"""XML as annotation tools write it: encodings, numbers, flags, sizes, and suffixes of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import VOCDetectionDataModule, VOCLocalizationDataModule
from datamodules.voc.files import read_annotation
from datamodules.voc.packed_voc import ImageRecord
from lit_cv.errors import UserError
from tests.datamodules.voc.test_detection import Open, edit, first, objects, year

BOX = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
SIZE = "<size><width>64</width><height>48</height></size>"
NAMES = ("circle", "圆形")


def write(root: Path, content: str | bytes, suffix: str = ".jpg") -> Path:
    """An image of 64x48 pixels with its XML."""
    folder = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "JPEGImages" / f"a{suffix}")
    file = folder / "Annotations" / "a.xml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(root: Path, content: str | bytes, suffix: str = ".jpg") -> ImageRecord:
    write(root, content, suffix)
    return read_annotation(root, "VOC2012", "a", NAMES)


def annotation(name: str = "circle", size: str = SIZE, box: str = BOX, extra: str = "") -> str:
    return f"<annotation>{size}<object><name>{name}</name>{extra}{box}</object></annotation>"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [("gb2312", "gb2312"), ("GBK", "gbk"), ("gb18030", "gb18030"), ("big5", "gb18030"), ("utf-8", "utf-8"),
     ("utf-8", "utf-8-sig"), ("utf-16", "utf-16"), ("UTF-16", "utf-8"), ("shift_jis", "shift_jis")],
)  # fmt: skip
def test_any_encoding_of_python_is_read(tmp_path: Path, declared: str, codec: str) -> None:
    declared = codec if declared == "big5" else declared
    text = f'<?xml version="1.0" encoding="{declared}"?>\n{annotation("圆形" if codec != "shift_jis" else "circle")}'
    record = read(tmp_path, text.encode(codec))
    assert record.labels == [1 if codec == "shift_jis" else 2]
    assert record.boxes == [(2, 3, 20, 30)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', r"cannot be decoded \(unknown encoding: klingon\)"),
        (b'<?xml version="1.0" encoding="hex"?><annotation/>', "cannot be decoded"),
        ('<?xml version="1.0" encoding="ascii"?><annotation>圆</annotation>'.encode(), "cannot be decoded .*ascii"),
        (annotation("圆形").encode("gb2312"), "is not valid XML"),
        ("<html/>", "is no VOC annotation: it is <html>"),
        (
            annotation(box=BOX.replace("20", "x")),
            r"object 1 \(circle\): <bndbox/xmax> is 'x', which is no number; fix it",
        ),
        (
            annotation(box=BOX.replace("<ymin>4</ymin>", "")),
            r"object 1 \(circle\): <bndbox/ymin> is missing in <object>",
        ),
        (annotation(box=BOX.replace("20", "1e400")), r"object 1 \(circle\): a box .* is not finite"),
        (annotation(name=" "), r"object 1 \(.*\): <name> is missing"),
        (annotation(extra="<difficult>maybe</difficult>"), r"object 1 \(circle\): <difficult> is 'maybe', not 0 or 1"),
        (annotation(size=SIZE.replace("64", "wide")), "<size/width> is 'wide', which is no number"),
        (annotation(size=SIZE.replace("64", "64.5")), r"<size/width> is 64\.5, which is no number of pixels"),
        (annotation(size=SIZE.replace("64", "-64")), "<size/width> is -64, which is no number of pixels"),
        (annotation(size=SIZE.replace("64", "nan")), "<size/width> is nan"),
    ],
)
def test_a_damaged_field_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(UserError, match=message) as raised:
        read_annotation(tmp_path, "VOC2012", "a", NAMES)
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("size", ["", "<size/>", SIZE.replace("64", "0"), SIZE.replace("48", ""), SIZE[:6] + "</size>"])
def test_a_missing_size_is_that_of_the_image(tmp_path: Path, size: str) -> None:
    record = read(tmp_path, annotation(size=size))
    assert record.size == (64, 48)
    assert record.remarks == ("no <size>, so that of the image is taken",)
    assert read(tmp_path, annotation(size=SIZE.replace("64", "64.0"))).remarks == ()


@pytest.mark.parametrize(
    ("flag", "difficult"),
    [("Unspecified", False), ("False", False), ("0", False), ("", False), ("True", True), ("1", True), ("yes", True)],
)
def test_difficult_in_words(tmp_path: Path, flag: str, difficult: bool) -> None:
    record = read(tmp_path, "\n" + annotation(extra=f"<difficult>{flag}</difficult>"))
    assert record.difficult == [difficult]
    assert bool(record.remarks) == (flag == "Unspecified")


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".JPG", ".PNG", ".bmp"])
def test_images_with_another_suffix_are_found(tmp_path: Path, suffix: str) -> None:
    record = read(tmp_path, annotation(size=""), suffix)
    assert record.name == f"VOCdevkit/VOC2012/JPEGImages/a{suffix}"
    assert record.size == (64, 48)


def test_what_annotations_lack_is_said_once(
    voc_root: Path, open_data: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((year(voc_root) / "Annotations").iterdir())[:3]
    for file in files:
        edit(file, "<width>64</width>", "<width>0</width>")
    open_data(voc_root)
    told = capsys.readouterr().err
    assert told.count("and 2 more has no <size>, so that of the image is taken.") == 1
    assert told.count("note:") == 1
    notes = [found for found in VOCDetectionDataModule(str(voc_root)).survey("train").defects if found.note]
    assert [(note.file, note.kind) for note in notes] == [(file, "incomplete annotation") for file in files]


def test_dropped_boxes_are_said(voc_root: Path, open_data: Open, capsys: pytest.CaptureFixture[str]) -> None:
    objects(first(voc_root, "Annotations"), ("circle", 0, 5, 5, 2, 2), ("square", 0, 1, 1, 9, 9))
    total = open_data(voc_root).counts["train/boxes"] + 1
    assert f"note: 1 of {total} boxes have no area within their image and are dropped (" in capsys.readouterr().err


def test_clipped_boxes_are_said(voc_root: Path, open_data: Open, capsys: pytest.CaptureFixture[str]) -> None:
    objects(first(voc_root, "Annotations"), ("circle", 0, 5, 5, 9000, 20), ("square", 0, 1, 1, 9, 9))
    total = open_data(voc_root).counts["train/boxes"]
    assert f"note: 1 of {total} boxes reach outside their image and are clipped; `litcv doc" in capsys.readouterr().err


def test_some_fractions_are_said(voc_root: Path, open_data: Open, capsys: pytest.CaptureFixture[str]) -> None:
    file = first(voc_root, "Annotations")
    objects(file, ("circle", 0, 0.1, 0.1, 0.7, 0.2), ("square", 0, 1, 1, 9, 9))
    total = open_data(voc_root).counts["train/boxes"]
    assert f"note: 1 of {total} boxes end within the first pixel" in capsys.readouterr().err
    assert [found.kind for found in VOCDetectionDataModule(str(voc_root)).survey("train").defects] == [
        "box outside the image"
    ]


@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCLocalizationDataModule])
def test_fractions_of_the_image_stop_the_run(voc_root: Path, kind: type[VOCDetectionDataModule]) -> None:
    for file in (year(voc_root) / "Annotations").iterdir():
        objects(file, ("circle", 0, 0.2, 0.3, 0.7, 0.9), ("square", 0, 0, 0, 1, 1))
    with pytest.raises(
        UserError, match=r"20 of 20 boxes of .* end within the first pixel, as if corners were fractions"
    ):
        kind(str(voc_root)).prepare_data()
    defects = kind(str(voc_root)).survey("train").defects
    assert defects[-1].kind == "boxes are no pixels"


@pytest.mark.parametrize("boxes", [[], [("circle", 0, 80, 80, 90, 90)], [("circle", 1, 2, 2, 30, 30)]])
def test_nothing_to_train_on_stops_the_run(voc_root: Path, boxes: list[tuple[object, ...]]) -> None:
    names = (year(voc_root) / "ImageSets" / "Main" / "train.txt").read_text().split()
    for name in names:
        objects(year(voc_root) / "Annotations" / f"{name}.xml", *boxes)
    data = VOCDetectionDataModule(str(voc_root))
    data.prepare_data()
    with pytest.raises(UserError, match=r"train_sets have no object to train on \(images: 10, boxes: "):
        data.setup("fit")
    kinds = {found.kind for found in data.survey("train").defects}
    assert kinds == {"box without area" if boxes and boxes[0][2] == 80 else "nothing to train on"}
    assert not [found for found in data.survey("val").defects if found.kind == "nothing to train on"]
    evaluated = VOCDetectionDataModule(str(voc_root))
    evaluated.setup("validate")
    assert len(list(evaluated.val_dataloader()))
