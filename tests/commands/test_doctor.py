import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from datamodules import Shapes, VOCDetectionDataModule
from datamodules.base import DataModule
from datamodules.defects import Defect, box_defects, stop_at
from datamodules.doctor import examine
from lit_cv.cli import main
from lit_cv.errors import UserError

ROOT = Path(__file__).parents[2]
QUICK = "experiments/quickstart/ssd.yaml"


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


def doctor(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[str]]:
    code = main(["doctor", *args])
    return code, capsys.readouterr().out.splitlines()


def scenes(folder: Path) -> list[str]:
    return [f"--data.root={folder}", "--data.shapes={train: 6, val: 4, size: 48}"]


def test_intact_data_have_no_defects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("ssd", "fcn", "localization", "pose")):
        args = [f"experiments/quickstart/{name}.yaml", *scenes(tmp_path / str(number))]
        assert doctor(capsys, *args) == (0, ["no defect found; images: train 6, val 4"])


def test_every_inserted_defect_is_reported_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(capsys, QUICK, *scenes(tmp_path))[0] == 0
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    lists = {split: folder / "ImageSets" / "Main" / f"{split}.txt" for split in ("train", "val")}
    names = [name for file in lists.values() for name in file.read_text().split()]
    xml = [folder / "Annotations" / f"{name}.xml" for name in names]
    jpg = [folder / "JPEGImages" / f"{name}.jpg" for name in names]

    data = jpg[0].read_bytes()
    jpg[0].write_bytes(data[: len(data) // 2])
    jpg[1].unlink()
    small = np.zeros((20, 30, 3), np.uint8)
    cv2.imwrite(str(jpg[2]), small)
    text = xml[3].read_text()
    head, tail = text.split("<bndbox>", 1)
    box = "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>{}</xmax><ymax>30</ymax></bndbox>"
    rest = tail.split("</bndbox>", 1)[1]
    xml[3].write_text(head + box.format(8) + rest)
    xml[4].write_text(xml[4].read_text().split("<bndbox>", 1)[0])
    xml[5].write_text(head + box.format(99) + rest)
    xml[6].write_text(xml[6].read_text().replace("circle", "unicorn").replace("square", "unicorn"))
    jpg[7].write_bytes(jpg[3].read_bytes())  # the same picture in train and val
    jpg[5].write_bytes(jpg[4].read_bytes())
    lists["val"].write_text(lists["val"].read_text() + names[8] + "\n")

    code, lines = doctor(capsys, QUICK, *scenes(tmp_path))
    assert code == 1
    found = dict(line.split(": ", 1) for line in lines[:-1])
    assert len(found) == len(lines) - 1 == 10
    for file, part in (
        (jpg[0], "is truncated"),
        (jpg[1], "is missing"),
        (jpg[2], "is 30x20 pixels but its annotation says 48x48"),
        (xml[3], "the box (8, 8, 8, 30) of object 1 "),
        (xml[4], "is not valid XML"),
        (xml[5], "reaches outside and is clipped"),
        (xml[6], "has the unknown class 'unicorn'"),
        (jpg[7], f"of val is the same picture as {jpg[3]} of train"),
        (jpg[5], f"is the same picture as {jpg[4]}, in train as well"),
        (lists["val"], f"names {names[8]} a second time"),
    ):
        assert part in found[str(file)], file
    kinds = lines[-1].split("; ")[0].split(", ")
    assert "unusable annotation: 2" in kinds
    assert {"leak: 1", "box without area: 1", "box outside the image: 1", "missing image: 1", "duplicate id: 1"} <= {
        *kinds
    }
    assert lines[-1].endswith("; images: train 6, val 4")


def test_each_mask_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcn = "experiments/quickstart/fcn.yaml"
    assert doctor(capsys, fcn, *scenes(tmp_path))[0] == 0
    masks = sorted((tmp_path / "VOCdevkit/VOC2012/SegmentationClass").glob("*.png"))
    for mask, pixels in zip(masks, (np.full((48, 48), 255), np.zeros((9, 8)), np.full((48, 48), 7)), strict=False):
        cv2.imwrite(str(mask), pixels.astype(np.uint8))
    masks[3].write_bytes(b"no image")
    code, lines = doctor(capsys, fcn, *scenes(tmp_path))
    assert code == 1
    text = "\n".join(lines)
    for part in (
        f"{masks[0]}: is all void",
        f"{masks[1].stem}.jpg: is 48x48 pixels but its annotation says 8x9",
        f"{masks[2]}: has the index 7",
        f"{masks[3]}: is not a readable mask",
    ):
        assert part in text
    assert len(lines) == 5


def test_joints_and_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["experiments/lsp/pose_squeezenet.yaml", "--data.source=shapes", *scenes(tmp_path)]
    assert doctor(capsys, *args)[0] == 0
    file = tmp_path / "joints.mat"
    joints = scipy.io.loadmat(file)["joints"]
    joints[:, 2] = 1  # all are labeled
    joints[:, :2] = np.clip(joints[:, :2], 5, 40)
    joints[2, 0, 0] = np.nan
    joints[13, 1, 1] = 400
    joints[:, 2, 3] = 0
    scipy.io.savemat(file, {"joints": joints})
    code, lines = doctor(capsys, *args)
    assert code == 1
    for line, place in zip(lines, ("the right_hip of person 1", "the head_top of person 2", "person 4"), strict=False):
        assert line.startswith(f"{file}: {place} of the split, in images/im0000")
    assert len(lines) == 4
    (tmp_path / "joints.mat").write_bytes(b"none")
    code, lines = doctor(capsys, *args)
    assert code == 1
    assert "is no MATLAB 5 file" in lines[0]


def test_error_of_a_reader_is_reported_as_a_defect(tmp_path: Path) -> None:
    data = VOCDetectionDataModule(str(tmp_path), source="shapes")
    survey = DataModule.survey(data, "train")
    assert survey.images == []
    assert "holds no VOCdevkit folder" in survey.defects[0].what


def test_notes_are_listed_after_the_defects_and_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["experiments/visual_genome/densecap_squeezenet.yaml", "--data.source=shapes", "--data.min_count=1"]
    doctor(capsys, *args, *scenes(tmp_path))
    file = tmp_path / "region_descriptions.json"
    file.write_text(json.dumps([
        {"id": image, "regions": [
            {"region_id": image, "x": 1, "y": 1, "width": 9, "height": 9, "phrase": phrase} for phrase in phrases
        ]}
        for image, phrases in enumerate([["a dog"], ["a dog that runs after a cat"], *[["a dog"]] * 8], start=1)
    ]))  # fmt: skip
    code, lines = doctor(capsys, *args, *scenes(tmp_path), "--data.max_words=3")
    assert (code, lines[-1]) == (0, "no defect found; notes: long phrase: 1; images: train 6, val 4")
    assert lines[0].startswith(f"note: {file}: region 2 of image 2 has 7 words, more than max_words=3, and is dropped")
    (tmp_path / "VG_100K" / "9.jpg").unlink()
    code, lines = doctor(capsys, *args, *scenes(tmp_path), "--data.max_words=3")
    assert code == 1
    assert [line.startswith("note: ") for line in lines] == [False, True, False]
    assert lines[-1].startswith("image without file: 1; notes: long phrase: 1; images: ")


def test_a_reader_that_stops_at_defects_passes_notes(tmp_path: Path) -> None:
    note = Defect.inside(tmp_path / "list.txt", "line 2", "repeats line 1", "repetition", note=True)
    stop_at([note])
    with pytest.raises(UserError, match=r"list\.txt lists an image twice: fix it\.$"):
        stop_at([note, Defect(note.file, "lists an image twice: fix it", "duplicate")])


def test_file_listed_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    data = VOCDetectionDataModule(str(tmp_path), "shapes", val_sets=["2012_train"], shapes=Shapes(2, 1, 48))
    data.fetch()
    images, defects = examine(data)
    assert images == {"train": 2, "val": 2}
    assert [defect.kind for defect in defects] == ["leak"] * 2


def test_defects_of_single_boxes() -> None:
    boxes = [(0, 0, 10.04, 10), (-1, 0, 5, 5), (4, 4, 4, 9), (11, 2, 15, 4), (float("nan"), 0, 5, 5), (1, 1, 3, 3)]
    defects = box_defects(Path("x"), "box {}".format, boxes, (10, 20))
    assert [(defect.what.split(" in ")[0][-1], defect.kind) for defect in defects] == [
        ("1", "box outside the image"),
        ("2", "box without area"),
        ("3", "box without area"),
        ("4", "box not finite"),
    ]
    assert box_defects(Path("x"), str, [], (10, 20)) == []
    assert [d.what for d in box_defects(Path("x"), str, [boxes[0], boxes[0]], [(20, 20), (9, 10)])] == [
        "the box (0, 0, 10.04, 10) of 1 in 9x10 pixels reaches outside and is clipped: fix it"
    ]


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["doctor"], 2, "CONFIG"),
        (["doctor", "experiments/none.yaml"], 1, "there is no such file"),
        (["doctor", QUICK, "--data.bathc_size=3"], 2, "bathc_size"),
    ],
)
def test_user_errors_are_one_sentence(
    args: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(args)
    except SystemExit as exit_:
        found = int(exit_.code or 0)
    assert found == code
    assert sentence in capsys.readouterr().err
