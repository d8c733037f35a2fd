"""Boxes with captions in COCO's form, in files of any name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import COCOCaptionDataModule
from datamodules.doctor import examine
from datamodules.splits import Split
from lit_cv.errors import UserError
from tests.helpers.exports import CLASSES, boxes, one_file

NUMBERS = range(1, 9)
WORDS = ("a red hat.", "no helmet", "HEADS, many heads")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    one_file(tmp_path, NUMBERS)

    def caption(content: dict[str, Any]) -> None:
        del content["categories"]
        for row in content["annotations"][::-1]:  # images need not be together
            row["caption"] = WORDS[row.pop("category_id") - 1]
        content["annotations"].reverse()

    rewrite(tmp_path, caption)
    return tmp_path


def rewrite(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    file = root / "labels" / "all.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def opened(root: Path, **options: Any) -> COCOCaptionDataModule:
    settings = {"annotations": "labels/all.json", "images": "raw pictures", "min_count": 1, "batch_size": 1}
    data = COCOCaptionDataModule(str(root), **settings | options)
    data.prepare_data()
    data.setup()
    return data


def test_each_box_has_its_caption(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = opened(root, split=Split(val=0.25))
    assert "is divided into 6 train, 2 val images" in capsys.readouterr().err
    assert {name: len(packed) for name, packed in data.splits.items()} == {"train": 6, "val": 2}
    assert sorted(data.vocabulary.words[4:]) == ["a", "hat", "heads", "helmet", "many", "no", "red"]
    for packed in data.splits.values():
        for index in range(len(packed)):
            number = int(Path(packed.name(index)).stem.split("_")[1])
            target = data.samples(packed, training=False)[index][1]
            expected = [
                (("a red hat", "no helmet", "heads many heads")[kind], [x, y, x + width, y + height])
                for kind, x, y, width, height in boxes(number)[::-1]
            ]
            assert list(zip(target["phrases"], target["boxes"].tolist(), strict=True)) == expected
    assert [defect for defect in examine(data).defects if not defect.note] == []


def test_a_file_for_each_split(root: Path) -> None:
    data = opened(root, annotations={"train": "labels/all.json", "test": "labels/../labels/all.json"})
    assert {name: len(packed) for name, packed in data.splits.items()} == {"train": 8, "test": 8}
    assert data.splits["train"].counts["regions"] == sum(len(boxes(number)) for number in NUMBERS) > 2 * len(CLASSES)


def edited(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """Return an edit of the first annotation; fields that are None are taken out."""

    def edit(content: dict[str, Any]) -> None:
        row = content["annotations"][0] | fields
        content["annotations"][0] = {key: value for key, value in row.items() if value is not None}

    return edit


def as_shares(content: dict[str, Any]) -> None:
    for row in content["annotations"]:
        row["bbox"] = [value / 64 for value in row["bbox"]]


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            edited(bbox=None),
            r"all\.json has the annotation \d+ that is not in COCO's format \('bbox' is missing\): fix",
        ),
        (edited(bbox=[1, 2, 3]), r"bbox is \[1, 2, 3\], not \[x, y, width, height\]"),
        (edited(caption=None), r"'caption' is missing"),
        (edited(caption=["a"]), r'caption is \["a"\], no text'),
        (edited(image_id=99), r"has a caption of the image 99, which the file does not list: fix it"),
        (lambda content: content["images"].append(content["images"][0]), r"has two images with the id 1: fix the file"),
        (as_shares, r"has boxes that all lie within one pixel, so the coordinates are shares of the image"),
        (lambda content: content.update(annotations=[]), r"has no annotations, so it is no COCO file of captions"),
    ],
)
def test_unusable_captions_are_refused_and_listed(
    root: Path, edit: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    rewrite(root, edit)
    with pytest.raises(UserError, match=sentence):
        opened(root)
    data = COCOCaptionDataModule(str(root), annotations="labels/all.json", images="raw pictures", min_count=1)
    assert not all(defect.note for defect in examine(data).defects)


def test_settings_of_captions(root: Path) -> None:
    with pytest.raises(UserError, match="annotations names no file for train: add it, because the vocabulary"):
        opened(root, annotations={"val": "labels/all.json"})
    with pytest.raises(UserError, match="has no word that occurs min_count=40 times in the training phrases"):
        opened(root, min_count=40)


def test_rare_words_are_counted_and_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(root, lambda content: content["annotations"][0].update(caption="a red zebra"))
    data = opened(root, annotations={"train": "labels/all.json"}, min_count=2)
    assert "zebra" not in data.vocabulary.words
    packed = data.splits["train"]
    total = sum(len(phrase.split()) for phrase in packed.phrases(np.arange(len(packed.boxes))))
    told = f"1 of {total} words of the training captions occur less than min_count=2 times and are learned as <UNK>"
    assert told in capsys.readouterr().err
    opened(root, annotations={"train": "labels/all.json"})
    assert "<UNK>" not in capsys.readouterr().err
