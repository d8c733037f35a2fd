import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules import (
    COCOKeypointDataModule,
    LSPPoseDataModule,
    Shapes,
    VisualGenomeDataModule,
    VOCSegmentationDataModule,
)
from datamodules.base import DataModule
from datamodules.statistics.anchors import anchor_statistics
from datamodules.statistics.boxes import BoxTable, box_statistics, coverage, point_map
from datamodules.statistics.charts import GRID, Bars, Histogram, Matrix, Statistics, log_histogram, whole_histogram
from datamodules.statistics.collect import collect
from datamodules.statistics.phrases import phrase_statistics
from datamodules.visual_genome.packed_regions import PackedRegions, to_lines
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import SPECIAL

SHAPES = Shapes(train=6, val=3, size=48)
NAMES = ("cat", "dog", "cow")


def table(boxes: list[list[float]], owners: list[int], labels: list[int], pictures: int = 3) -> BoxTable:
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    sizes = np.full((pictures, 2), [200.0, 100.0])
    return BoxTable(sizes, np.array(owners, dtype=np.int64), corners, np.array(labels, dtype=np.int64), areas, 0)


@pytest.fixture
def tables() -> dict[str, BoxTable]:
    train = [[0, 0, 10, 20], [0, 0, 32, 32], [0, 0, 200, 100], [100, 0, 200, 50]]
    return {
        "train": table(train, [0, 0, 0, 2], [1, 2, 1, 3]),
        "val": table([[0, 0, 100, 50]], [1], [2]),
    }


def chart(found: Statistics, title: str) -> Any:
    (one,) = (chart for chart in found.charts if chart.title == title)
    return one


def fact(found: Statistics, name: str) -> list[float]:
    (one,) = (fact for fact in found.facts if fact.name == name)
    return list(one.values.values())


def test_boxes_are_counted_by_class_size_shape_and_picture(tables: dict[str, BoxTable]) -> None:
    found = box_statistics(tables, NAMES)
    classes = chart(found, "Objects of each class")
    assert list(classes.labels) == ["cat", "dog", "cow"]
    assert {split: list(counts) for split, counts in classes.counts.items()} == {"train": [2, 1, 1], "val": [0, 1, 0]}
    assert classes.bases == {"train": 4, "val": 1}
    sizes = chart(found, "Sizes as COCO counts them")
    assert [list(counts) for counts in sizes.counts.values()] == [[1, 2, 1], [0, 1, 0]]  # 32² is medium
    shape = chart(found, "Shape of the objects")
    assert shape.medians == {"train": 1.5, "val": 2.0}
    per_picture = chart(found, "Objects of a picture")
    assert [list(counts) for counts in per_picture.counts.values()] == [[1, 1, 0, 1], [2, 1, 0, 0]]
    assert fact(found, "objects of a picture, mean") == pytest.approx([4 / 3, 1 / 3])
    assert fact(found, "pictures without objects") == [1, 2]
    assert found.findings == ["val has no objects of 2 classes: cat, cow."]


def test_classes_that_occur_together(tables: dict[str, BoxTable]) -> None:
    together = chart(box_statistics(tables, NAMES), "Classes in the same picture")
    assert isinstance(together, Matrix)
    shares = dict(zip(together.labels, together.values, strict=True))
    columns = list(together.labels)
    assert shares["dog"][columns.index("cat")] == 1  # its only picture has a cat
    assert shares["cow"][columns.index("cat")] == 0


def test_places_are_counted_in_the_cells_of_a_map() -> None:
    centers = point_map(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0], [1.5, 0.5]]))
    assert centers.sum() == 3  # the last one is outside
    assert centers[0, 0] == centers[-1, -1] == centers[0, GRID // 2] == 1
    covered = coverage(np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.25]]))
    assert covered.shape == (GRID, GRID)
    assert (covered[: GRID // 4, : GRID // 2] == 2).all()
    assert covered.sum() == GRID * GRID + GRID * GRID / 8


def test_the_best_anchor_of_each_box(tables: dict[str, BoxTable]) -> None:
    def overlaps(sizes: Any, boxes: Any) -> Any:
        assert sizes.tolist() == [[200, 100]] * len(boxes)
        return np.where(boxes[:, 2] >= 100, 0.9, 0.2)

    found = anchor_statistics(tables, overlaps, "objects")
    assert fact(found, "no anchor with an IoU ≥ 0.5") == [0.5, 0]
    assert list(chart(found, "Boxes without a good anchor").counts["train"]) == [1, 1, 0]
    assert found.findings == ["50.0% of the objects of train have no anchor with an IoU of 0.5 or more."]


def test_bins_hold_every_number_and_their_texts_fit() -> None:
    found = log_histogram("a", "b", {"train": np.array([0.0, 3.0, 9.0, 5000.0, np.nan])}, 2, 10)
    assert found.counts["train"].sum() == 4
    assert len(found.ticks) == len(found.counts["train"]) + 1
    assert [text for text in found.ticks if text] == [str(2**power) for power in range(2, 11)]
    whole = whole_histogram("a", "b", {"train": np.array([0.0, 130.0]), "val": np.zeros(0)}, most=10)
    assert list(whole.counts["train"]) == [1, *[0] * (len(whole.ticks) - 2), 1]
    assert np.isnan(whole.medians["val"])


def opened(kind: type[DataModule[Any]], root: Path, **options: Any) -> Statistics:
    data = kind(str(root), source="shapes", shapes=SHAPES, **options)  # type: ignore[arg-type]
    data.fetch()
    return collect(data)


def test_masks_are_counted_by_pixels_and_pictures(tmp_path: Path) -> None:
    found = opened(VOCSegmentationDataModule, tmp_path)
    pixels, pictures = chart(found, "Pixels of each class"), chart(found, "Pictures with each class")
    data = VOCSegmentationDataModule(str(tmp_path), source="shapes", shapes=SHAPES)
    packed = data.open_split("train")
    assert packed is not None
    masks = [packed.mask(index) for index in range(len(packed))]
    for label, name in enumerate(("background", *data.class_names)):
        assert pixels.counts["train"][pixels.labels.index(name)] == sum((mask == label).sum() for mask in masks)
        if label:
            count = sum((mask == label).any() for mask in masks)
            assert pictures.counts["train"][pictures.labels.index(name)] == count
    void = sum((mask == 255).sum() for mask in masks) / sum(mask.size for mask in masks)
    assert fact(found, "void pixels")[0] == pytest.approx(void)


def test_joints_are_counted_one_by_one(tmp_path: Path) -> None:
    found = opened(LSPPoseDataModule, tmp_path / "lsp")
    packed = LSPPoseDataModule(str(tmp_path / "lsp"), source="shapes", shapes=SHAPES).open_split("train")
    assert packed is not None
    joints = chart(found, "Labeled joints")
    assert list(joints.counts["train"]) == (packed.joints[..., 2] > 0).sum(axis=0).tolist()
    assert chart(found, "Size of the people").medians["train"] == pytest.approx(float(np.median(packed.sides)))
    people = opened(COCOKeypointDataModule, tmp_path / "coco")
    assert isinstance(chart(people, "Labeled joints"), Bars)
    assert isinstance(chart(people, "Size of the objects"), Histogram)


def test_phrases_are_counted_by_length_and_word(tmp_path: Path) -> None:
    found = opened(VisualGenomeDataModule, tmp_path, min_count=1)
    data = VisualGenomeDataModule(str(tmp_path), source="shapes", shapes=SHAPES, min_count=1)
    packed = data.open_split("train")
    assert packed is not None
    phrases = packed.phrases(np.arange(len(packed.boxes)))
    words = chart(found, "The most frequent words")
    first = words.labels[0]
    assert words.counts["train"][0] == sum(phrase.split().count(first) for phrase in phrases)
    assert fact(found, "words of a phrase, mean")[0] == pytest.approx(np.mean([len(p.split()) for p in phrases]))
    assert fact(found, "words outside the vocabulary")[0] == 0


def test_splits_with_words_of_their_own_are_counted_by_word() -> None:
    def packed(words: list[str], used: list[int]) -> PackedRegions:
        found = PackedRegions.__new__(PackedRegions)
        found.lexicon, found.words = to_lines(words), np.array(used, dtype=np.int32)
        found.known, found.word_offsets = to_lines([*SPECIAL, "cat"]), np.array([0, len(used)])
        return found

    found = phrase_statistics({"train": packed(["cat", "dog"], [0, 0, 1]), "val": packed(["dog", "cow"], [0, 1])})
    words = chart(found, "The most frequent words")
    assert list(words.labels) == ["cat", "dog", "cow"]
    assert [list(counts) for counts in words.counts.values()] == [[2, 1, 0], [0, 1, 1]]
    assert fact(found, "words outside the vocabulary") == pytest.approx([1 / 3, 1])
    assert fact(found, "different words") == [2, 2]


def test_a_split_without_objects_has_no_values_instead_of_errors(tmp_path: Path) -> None:
    opened(COCOKeypointDataModule, tmp_path)
    file = tmp_path / "annotations" / "person_keypoints_val2017.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": []}))
    found = opened(COCOKeypointDataModule, tmp_path)
    assert fact(found, "objects")[1] == 0
    assert np.isnan(fact(found, "median size (√area), pixels")[1])


def test_unknown_targets_are_one_sentence() -> None:
    class Nothing:
        root = Path("data")

        def open_split(self, split: str) -> None:
            return None

    with pytest.raises(UserError, match="Nothing has no split with pictures"):
        collect(Nothing())  # type: ignore[arg-type]
