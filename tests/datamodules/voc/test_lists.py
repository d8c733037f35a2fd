"""Lists of images and classes as people and their editors write them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import VOCDetectionDataModule, VOCSegmentationDataModule
from datamodules.voc.lists import read_classes, read_list
from lit_cv.errors import UserError
from tests.datamodules.voc.test_detection import Open, year

NAMES = ("circle", "square", "triangle")


def classes(root: Path, content: str | bytes) -> Path:
    file = root / "VOCdevkit" / "classes.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        ("circle\nsquare\ntriangle", []),
        ("\ufeffcircle\r\nsquare\r\ntriangle\r\n", []),
        ("circle\nsquare\ntriangle\n".encode("utf-16"), []),
        ("\n\n circle\n\nsquare  \n\ttriangle\n\n", ["has 3 blank lines"]),
        ("# made by hand\ncircle\n#\nsquare\n\ntriangle\n", ["has 2 comments", "has 1 blank lines"]),
        ("background\ncircle\nsquare\ntriangle\n", ["names background, which is label 0"]),
        ("__ignore__\n_background_\ncircle\nsquare\ntriangle\n", ["names __ignore__, which is void", "names _backgr"]),
        ("Background\ncircle\nsquare\n__ignore__\ntriangle\n", ["names Background", "names __ignore__"]),
    ],
)
@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCSegmentationDataModule])
def test_the_same_classes_are_read(
    voc_root: Path,
    kind: Callable[..., VOCDetectionDataModule],
    content: str | bytes,
    notes: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = classes(voc_root, content)
    data = kind(str(voc_root), batch_size=2)
    data.prepare_data()
    assert data.class_names == NAMES
    capsys.readouterr()
    data.setup()
    told = capsys.readouterr().err
    assert told.count("note: ") == len(notes)
    assert all(f"note: {file} {note}" in told for note in notes)
    listed = [found for found in data.survey("train").defects if found.note]
    assert listed == read_classes(file, "Main").notes
    assert len(listed) == len(notes)


def test_a_name_may_contain_spaces(voc_root: Path, open_data: Open) -> None:
    for file in (year(voc_root) / "Annotations").iterdir():
        file.write_text(file.read_text().replace(">square<", ">Hard Hat<"))
    classes(voc_root, "circle\nHard Hat\ntriangle\n")
    data = open_data(voc_root)
    assert data.class_names == ("circle", "Hard Hat", "triangle")
    assert set(data.splits["train"].labels.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("circle\nsquare\ntriangle\n circle", r"classes\.txt:4 names the class 'circle' of line 1 again: remove one"),
        ("\n# nothing\n", r"classes\.txt names no class"),
        ("background\n", r"classes\.txt names no class"),
        ("圆形\n方形".encode("gb2312"), r"classes\.txt is not text in UTF-8 .*: save it as UTF-8"),
        ("circle\nsquare".encode("utf-16-le"), r"classes\.txt holds null characters"),
    ],
)
@pytest.mark.parametrize("kind", [VOCDetectionDataModule, VOCSegmentationDataModule])
def test_an_ambiguous_list_of_classes_is_one_sentence(
    voc_root: Path, kind: Callable[..., VOCDetectionDataModule], content: str | bytes, message: str
) -> None:
    classes(voc_root, content)
    with pytest.raises(UserError, match=message) as raised:
        kind(str(voc_root)).prepare_data()
    assert "\n" not in str(raised.value)


def test_a_background_behind_classes_would_move_the_indices_of_masks(voc_root: Path) -> None:
    file = classes(voc_root, "circle\nsquare\nbackground\ntriangle\n")
    assert read_classes(file, "Main").names == NAMES
    with pytest.raises(UserError, match=r"classes\.txt:3 names background behind other classes, but it is index 0"):
        VOCSegmentationDataModule(str(voc_root)).prepare_data()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_image_list_in_any_unicode(voc_root: Path, encoding: str) -> None:
    file = year(voc_root) / "ImageSets" / "Main" / "train.txt"
    before = read_list(voc_root / "VOCdevkit", "2012_train").images
    file.write_bytes(("\n# half of them\n" + "\r\n\r\n".join(name for _, name in before)).encode(encoding))
    again = read_list(voc_root / "VOCdevkit", "2012_train")
    assert again.images == before
    assert [(note.file, note.what, note.note) for note in again.notes] == [
        (file, "has 1 comments (lines with #), which are left out", True),
        (file, "has 10 blank lines, which are left out", True),
    ]


def test_ids_may_have_spaces_and_folders_of_windows(voc_root: Path) -> None:
    (year(voc_root) / "ImageSets" / "Main" / "mine.txt").write_text("cam 1\\img train 07\ncam 2/x\n")
    assert read_list(voc_root / "VOCdevkit", "2012_mine").images == [
        ("VOC2012", "cam 1/img train 07"), ("VOC2012", "cam 2/x"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["{}.jpg", "JPEGImages/{}.jpg"])
def test_a_list_of_files_is_read_as_their_ids(voc_root: Path, line: str) -> None:
    file = year(voc_root) / "ImageSets" / "Main" / "train.txt"
    ids = file.read_text().split()
    file.write_text("\n".join(map(line.format, ids)))
    read = read_list(voc_root / "VOCdevkit", "2012_train")
    assert read.images == [("VOC2012", name) for name in ids]
    assert [note.what for note in read.notes] == [
        f"names files, such as {line.format(ids[0])}: the ids are their names without the suffix"
    ]


def test_the_list_of_one_class_leaves_out_images_without_it(
    voc_root: Path, open_data: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = year(voc_root) / "ImageSets" / "Main"
    names = (folder / "train.txt").read_text().split()
    flags = ["-1", " 1", " 0", *["-1"] * (len(names) - 3)]
    (folder / "circle_train.txt").write_text("".join(f"{n} {f}\n" for n, f in zip(names, flags, strict=True)))
    data = open_data(voc_root, train_sets=["2012_circle_train"], batch_size=1)
    assert [Path(data.splits["train"].name(i)).stem for i in range(2)] == names[1:3]
    assert data.counts["train/images"] == 2
    assert "is the list of one class: 8 of its 10 images, with -1, are left out." in capsys.readouterr().err
    (folder / "circle_train.txt").write_text("".join(f"{name} -1\n" for name in names))
    with pytest.raises(UserError, match=r"circle_train\.txt gives the flag -1 to all of its images"):
        VOCDetectionDataModule(str(voc_root), train_sets=["2012_circle_train"]).prepare_data()


def test_an_image_twice_in_one_list_is_no_matter_of_other_lists(voc_root: Path) -> None:
    file = year(voc_root) / "ImageSets" / "Main" / "train.txt"
    file.write_text(file.read_text() + "shape_000003\n")
    with pytest.raises(UserError, match=r"train\.txt names shape_000003 a second time: remove one of the two lines"):
        VOCDetectionDataModule(str(voc_root)).prepare_data()
