"""The analyses of class masks, poses, localization and captions, from files of predictions to the page."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.joints import Skeleton
from lit_cv.analysis.contract import Analysis
from lit_cv.analysis.files import read_numbers, write_analysis
from lit_cv.analysis.kinds import analysis_of
from lit_cv.analysis.parts import extremes
from lit_cv.errors import UserError
from lit_cv.predictions.files import Predictions, write_predictions
from lit_cv.predictions.records import ImageRecord, to_record
from lit_cv.renderers import MaskRenderer, PhraseRenderer, PoseRenderer, Renderer, TopBoxRenderer
from tests.analysis.test_measures import Pairs, objects, people, region_pairs

SIZE = (400, 300)
SKELETON = Skeleton(tuple("abcdef"), ((0, 1), (2, 3)), ((0, 1), (2, 3)), (4, 5), (0, 3))


class Written:
    """Predictions in files, with targets in memory, on black images."""

    def __init__(
        self, folder: Path, task: str, names: list[str], pairs: Pairs, renderer: Renderer, **others: Any
    ) -> None:
        self.name, self.folder = "group/0123456789", folder
        self.targets = {int(target["image_id"]): target for _, target in pairs}
        records = [ImageRecord(int(target["image_id"]), SIZE, to_record(found, SIZE)) for found, target in pairs]
        meta = {"split": "val", "class_names": names, "tasks": [task], "weights": "", "data": "", "step": 1}
        write_predictions(folder / "val", records, [f"{record.image_id:06}.jpg" for record in records], meta)
        self.predictions = Predictions.open(folder / "val")
        self.settings = {"meteor": "exact_match_meteor"}
        self.data = SimpleNamespace(class_names=names, skeleton=SKELETON)
        self.drawing = renderer

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        return ((self.found(image_id), self.target(image_id)) for image_id in self.targets)

    def found(self, image_id: int) -> dict[str, Any]:
        return self.predictions[int(np.searchsorted(self.predictions.image_ids, image_id))]

    def target(self, image_id: int) -> dict[str, Any]:
        return self.targets[image_id]

    def image(self, image_id: int) -> torch.Tensor:
        return torch.zeros(3, SIZE[1], SIZE[0], dtype=torch.uint8)

    def renderer(self, score_threshold: float) -> Renderer:
        return self.drawing


def mask_pairs(void: bool = False) -> Pairs:
    pairs: Pairs = []
    for number in range(3):
        wanted = torch.zeros(SIZE[::-1], dtype=torch.uint8)
        wanted[50:200, 50:200] = 1 + number % 2
        found = wanted.roll(10 * number, dims=1)
        if void:
            wanted[:] = 255
        pairs.append(({"mask": found}, {"mask": wanted, "image_id": torch.tensor(number)}))
    return pairs


KINDS: dict[str, tuple[list[str], Any, Renderer, Any]] = {
    "SegmentationTask": (["cat", "dog", "cow"], mask_pairs, MaskRenderer(["cat", "dog", "cow"]), "miou"),
    "PoseTask": (list("abcdef"), people, PoseRenderer("abcdef", SKELETON.limbs, SKELETON.pairs), "pckh_50"),
    "LocalizationTask": (list("wxyz"), objects, TopBoxRenderer("wxyz"), "loc_accuracy"),
    "CaptioningTask": (["region"], region_pairs, PhraseRenderer(0.0), "exact_match_densecap_map"),
}


def analyzed(folder: Path, task: str, pairs: Pairs | None = None) -> Analysis:
    names, make, renderer, _ = KINDS[task]
    run = Written(folder, task, names, make() if pairs is None else pairs, renderer)
    return analysis_of([task], folder)(run)


@pytest.mark.parametrize("task", KINDS)
def test_the_analysis_of_a_task_is_complete_and_its_numbers_are_read_again(task: str, tmp_path: Path) -> None:
    analysis = analyzed(tmp_path, task)
    page = write_analysis(tmp_path / "analysis", analysis, {"split": "val"}).read_text()
    names = [part.name for part in (*analysis.tables, *analysis.figures, *analysis.images)]
    assert len(names) == len(set(names))
    for table in analysis.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.name
        assert (tmp_path / "analysis" / f"{table.name}.csv").read_text().count("\n") == len(table.rows) + 1
    for sentence in analysis.sentences:
        assert "nan" not in sentence
    assert all(part.title in page for part in (*analysis.tables, *analysis.figures))
    assert analysis.images
    again = read_numbers(tmp_path / "analysis")
    assert again is not None
    assert again[0][KINDS[task][3]].value == analysis.numbers[KINDS[task][3]].value > 0


def test_sentences_about_masks_by_hand(tmp_path: Path) -> None:
    sentences = analyzed(tmp_path, "SegmentationTask").sentences
    assert sentences[0].startswith("The IoU is lowest for ")
    # The dog of image 1 is 10 columns too far right, the cat of image 2 20 columns: each has as many wrong pixels in
    # the target as beside it. Within 5 pixels are 5 columns of 150 pixels on each side, and in the target, of the other
    # 5 or 15 columns, 5 pixels at either end: (4 * 750 + 10 * 5 + 10 * 15) of 9,000 pixels.
    assert "cat are predicted as background" in sentences[1] or "background are predicted as cat" in sentences[1]
    assert "33.3 % of the wrong pixels." in sentences[1]
    assert sentences[2].startswith("35.6 % of the wrong pixels lie within 5 pixels of a contour of the target")


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    void = analyzed(tmp_path / "masks", "SegmentationTask", mask_pairs(void=True))
    assert void.sentences == ["All pixels of the targets are void: there is nothing to compare."]
    assert np.isnan(void.numbers["miou"].value)
    unlabeled = people()
    for _, target in unlabeled:
        target["keypoints"][..., 2] = 0
    poses = analyzed(tmp_path / "poses", "PoseTask", unlabeled)
    assert poses.sentences == ["No joint is labeled as visible or hidden."]
    assert (poses.scores, poses.images) == ({}, [])
    nowhere = region_pairs()
    nowhere[0][1].update(boxes=torch.zeros(0, 4), phrases=[])
    assert analyzed(tmp_path / "phrases", "CaptioningTask", nowhere).sentences == ["There is no target region."]


def test_localization_without_scores_is_refused(tmp_path: Path) -> None:
    pairs = [({"boxes": found["boxes"], "labels": found["labels"]}, target) for found, target in objects()]
    with pytest.raises(UserError, match="val: has no scores, which the calibration needs; validate the run again"):
        analyzed(tmp_path, "LocalizationTask", pairs)


def test_the_lowest_and_highest_shares_are_different_names_and_many_zeros_are_counted() -> None:
    shares = np.array([0.5, 0.1, np.nan, 0.9, 0.2, 0.3])
    assert extremes("abcdef", shares, "classes") == (
        "lowest for b (10.0 %), e (20.0 %) and f (30.0 %), highest for d (90.0 %) and a (50.0 %)"
    )
    assert extremes("ab", np.array([0.5, 0.5]), "classes") == "lowest for a (50.0 %) and b (50.0 %)"
    assert extremes("abcdef", np.array([0, 0, 0, np.nan, 0, 0.7]), "classes") == (
        "0 for 4 of 5 classes, highest for f (70.0 %)"
    )


def test_classes_that_are_never_predicted_are_named(tmp_path: Path) -> None:
    pairs = mask_pairs()
    for found, _ in pairs:
        found["mask"][found["mask"] == 2] = 1
    assert "No pixel is predicted as dog." in analyzed(tmp_path, "SegmentationTask", pairs).sentences
