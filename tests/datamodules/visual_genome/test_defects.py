import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datamodules import VisualGenomeDataModule
from datamodules.defects import Defect
from datamodules.doctor import examine
from datamodules.visual_genome import files

WIDTH, HEIGHT = 60, 40


def region(number: int | None, phrase: str, x: float = 1, width: float = 10, **more: Any) -> dict[str, Any]:
    fields = {"x": x, "y": 2, "width": width, "height": 20, "phrase": phrase, **more}
    return fields if number is None else {"region_id": number, **fields}


def write(root: Path, described: Any) -> Path:
    (root / "VG_100K").mkdir(exist_ok=True)
    for number in (1, 2, 3):
        cv2.imwrite(str(root / "VG_100K" / f"{number}.jpg"), np.full((HEIGHT, WIDTH, 3), 50 * number, np.uint8))
    sizes = [{"image_id": number, "width": WIDTH, "height": HEIGHT} for number in (1, 2, 3)]
    (root / files.IMAGES).write_text(json.dumps(sizes))
    (root / files.REGIONS).write_text(json.dumps(described))
    (root / files.DENSECAP).write_text(json.dumps({"train": [1, 2], "val": [3], "test": []}))
    return root


def found(root: Path, **options: Any) -> list[Defect]:
    return examine(VisualGenomeDataModule(str(root), **{"min_count": 1, **options})).defects


def sound(number: int) -> dict[str, Any]:
    return {"id": number, "regions": [region(number, "a dog")]}


def test_every_defect_of_a_region_is_named(tmp_path: Path) -> None:
    regions = [
        region(10, "the dog"),
        region(None, "a dog runs", x=30),
        region(12, "a cat", x=-5),
        region(13, "a cat", x=20, width=0),
        region(14, "a cat", x=WIDTH + 5),
        region(15, " ... ", x=20),
        region(16, "one two three four five six seven eight nine ten eleven", x=20),
        region(10, "another id", x=20),
        region(18, "The dog.", x=1.5),
        region(19, "the old dog", x=1.5),  # two words of three
        region(20, "a cat", x=float("nan")),
        {"region_id": 21, "x": 1, "y": 2, "width": "wide", "height": 4, "phrase": "a cat"},
    ]
    root = write(tmp_path, [{"id": 1, "regions": regions}, sound(2), {"id": 3, "regions": [region(40, "zebra")]}])
    defects = found(root)
    assert {defect.file for defect in defects} == {root / files.REGIONS}
    assert [(defect.kind, defect.what.split(":")[0]) for defect in defects if defect.kind != "unusable record"] == [
        ("box outside the image", "the box (-5, 2, 5, 22) of region 12 of image 1 in 60x40 pixels reaches outside and "
         "is clipped"),
        ("box without area", "the box (20, 2, 20, 22) of region 13 of image 1 in 60x40 pixels has no area within it "
         "and is dropped"),
        ("box without area", "the box (65, 2, 75, 22) of region 14 of image 1 in 60x40 pixels has no area within it "
         "and is dropped"),
        ("box not finite", "the box (nan, 2, nan, 22) of region 20 of image 1 in 60x40 pixels is not finite"),
        ("missing region id", "region at place 2 of image 1 has no id"),
        ("duplicate id", "region 10 of image 1 has the id of another region"),
        ("empty phrase", "region 15 of image 1 has a phrase without a word and is dropped"),
        ("long phrase", "region 16 of image 1 has 11 words, more than max_words=10, and is dropped"),
        ("near-duplicate", "region 18 of image 1 has nearly the same phrase and box as region 10 of image 1"),
        ("phrase without a known word", "region 40 of image 3 has no word of the vocabulary"),
    ]  # fmt: skip
    assert [
        'entry 0 in region 11 (width is "wide", not a number)' in d.what for d in defects if d.kind == "unusable record"
    ] == [True]
    assert [defect.kind for defect in found(root, max_words=11)].count("long phrase") == 0


def test_every_image_that_lacks_something_is_named(tmp_path: Path) -> None:
    root = write(
        tmp_path, [sound(1), sound(2), {"id": 2, "regions": []}, 5, {"id": 4, "regions": [region(4, "a dog")]}]
    )
    (root / files.DENSECAP).write_text(json.dumps({"train": [1, 2, 3, 2, 4], "val": [5], "test": [1]}))
    (root / "VG_100K" / "2.jpg").write_bytes(b"none")
    defects = found(root, test_sets=["densecap_test", "mine"])
    lacking = [(d.file.name, d.kind, d.what.split(" of image ")[1][0]) for d in defects if "lacks the" in d.what]
    assert lacking == [
        (files.REGIONS, "image without regions", "3"),
        (files.IMAGES, "image without size", "4"),
        (tmp_path.name, "image without file", "4"),
        (files.REGIONS, "image without regions", "5"),
        (files.IMAGES, "image without size", "5"),
        (tmp_path.name, "image without file", "5"),
    ]
    others = [(defect.file.name, defect.kind) for defect in defects if "lacks the" not in defect.what]
    assert others == [
        (files.REGIONS, "unusable record"),  # image 2 is described twice
        (files.REGIONS, "unusable record"),
        (files.DENSECAP, "duplicate id"),
        ("2.jpg", "unreadable image"),
        ("mine.txt", "unusable image list"),
        ("1.jpg", "leak"),
    ]


@pytest.mark.parametrize(
    ("lost", "times"), [(files.REGIONS, 1), (files.IMAGES, 1), ("VG_100K", 1), (files.DENSECAP, 2)]
)  # one defect for each set of a missing list
def test_a_missing_file_is_reported_once(tmp_path: Path, lost: str, times: int) -> None:
    root = write(tmp_path, [sound(1), sound(2), sound(3)])
    assert found(root) == []
    (root / lost).rename(root / "elsewhere")
    defects = found(root)
    assert len(defects) == times
    assert all(lost in f"{defect.file} {defect.what}" for defect in defects)
