"""Visual Genome's lists, and files that leave nothing to learn: each fault is one sentence."""

import codecs
import json
import re
from pathlib import Path
from typing import Any

import pytest

from datamodules import VisualGenomeDataModule
from datamodules.doctor import examine
from datamodules.visual_genome import files
from lit_cv.errors import UserError
from tests.datamodules.visual_genome.test_datamodule import (
    HEIGHT,
    WIDTH,
    Json,
    counts,
    opened,
    region,
    targets,
    three,
    write,
)


@pytest.mark.parametrize(
    ("described", "options", "sentence"),
    [
        (
            three(),
            {"max_words": 2},
            r"leaves no region to train on: of 3 regions, 3 have more than max_words=2 words; fix",
        ),
        (
            three(),
            {"min_count": 4},
            r"has no word that occurs min_count=4 times in the training phrases: lower min_count",
        ),
        (three(width=0), {}, "of 3 regions, 3 lie outside their image or have no area"),
        (
            [{**three()[0], "regions": [region("?"), region("a b c d", width=-1)]}],
            {},
            "2 regions, 1 lie .*, 1 have no word",
        ),
        ([{"id": 1, "regions": []}], {}, "has no region of the training sets"),
    ],
)
def test_nothing_to_learn_is_one_sentence_with_the_reason(
    tmp_path: Path, described: Json, options: dict[str, Any], sentence: str
) -> None:
    root = write(tmp_path, described)
    for _ in range(2):  # also with a cache
        with pytest.raises(UserError, match=sentence):
            opened(root, **options)
    defaults = {"train_sets": ["all"], "val_sets": ["all"], "min_count": 1}
    found = examine(VisualGenomeDataModule(str(root), **{**defaults, **options})).defects
    assert any(re.search(sentence, defect.what) and not defect.note for defect in found)


def test_ids_may_be_text(tmp_path: Path) -> None:
    described = [{"id": str(n), "regions": [region("a dog", region_id=str(n))]} for n in (1, 2, 3)]
    root = write(tmp_path, described)
    sizes = [{"image_id": str(n), "width": str(WIDTH), "height": float(HEIGHT)} for n in (1, 2, 3)]
    (root / files.IMAGES).write_bytes(codecs.BOM_UTF8 + json.dumps(sizes).encode())
    (root / "mine.txt").write_bytes(codecs.BOM_UTF8 + b"1\n2\n")
    (root / files.DENSECAP).write_text(json.dumps({"val": ["3"]}), encoding="utf-8-sig")
    data = opened(root, train_sets=["mine"], val_sets=["densecap_val"])
    assert counts(data)["regions"] == 2
    assert targets(data)[0]["boxes"].tolist() == [[1, 2, 11, 22]]
    assert [defect.kind for defect in examine(data).defects] == []


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ([{"image_id": 1, "width": None, "height": 4}], r"\(entry 0: width is null, not a number\): fix it"),
        (
            [{"image_id": 1, "width": 4, "height": 2**40}],
            r"\(entry 0: height is 1099511627776, not a number of pixels\)",
        ),
        ([{"image_id": 1, "width": 4, "height": 4}, {"id": 2, "width": 4}], r"\(entry 1: 'height' is missing\)"),
        ([{"image_id": "one", "width": 4, "height": 4}], r'\(entry 0: image_id is "one", not a number\)'),
        ([5], r"\(entry 0: it is 5, not an object\)"),
        ({"images": []}, r'\(it is {"images": \[\]}\): fetch'),
    ],
)
def test_an_unusable_list_of_sizes_is_one_sentence(tmp_path: Path, sizes: Json, reason: str) -> None:
    root = write(tmp_path, three())
    (root / files.IMAGES).write_text(json.dumps(sizes))
    with pytest.raises(UserError, match=f"image_data.json is not Visual Genome's list of images {reason}"):
        opened(root)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "mine.txt",
            b"1\ncat.jpg\n",
            r"mine.txt does not list .*\(number 2 is \"cat.jpg\", not an image's id\): fix it",
        ),
        ("mine.txt", "1\n2\n".encode("utf-16"), "mine.txt cannot be read as UTF-8 .*: save it as UTF-8"),
        (files.DENSECAP, b'{"val": [1]}', r"has no list 'train' of images for the set 'densecap_train'"),
        (files.DENSECAP, b'{"train": [1, null]}', r"\(number 2 is null, not an image's id\)"),
        (files.DENSECAP, b"[1, 2]", "has no list 'train'"),
        (files.DENSECAP, b'{"train": [1', r"is not valid JSON"),
    ],
)
def test_an_unusable_list_of_a_set_is_one_sentence(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    root = write(tmp_path, three())
    (root / name).write_bytes(content)
    with pytest.raises(UserError, match=reason):
        opened(root, train_sets=["mine" if name == "mine.txt" else "densecap_train"])
