"""Metrics of resampled images against the metrics themselves, which see each copy of an image as another image."""

from typing import Any

import numpy as np
import pytest
import torch

from lit_cv.metrics import (
    PCK,
    BoundaryIoU,
    DenseCaptionAP,
    LocalizationAccuracy,
    PCKh,
    SegmentationMetrics,
    VOCAveragePrecision,
)
from lit_cv.metrics.densecap import IOUS
from lit_cv.metrics.resampling.captions import caption_matches
from lit_cv.metrics.resampling.resample import Matches, bootstrap, multiplicities
from lit_cv.metrics.resampling.sums import boundary_sums, keypoint_sums, localization_sums, segmentation_sums
from lit_cv.metrics.resampling.voc import voc_rankings
from tests.helpers.detections import random_predictions, random_targets

Rows = list[dict[str, Any]]
RESAMPLES = 50


def copies(found: Rows, wanted: Rows, weights: np.ndarray) -> tuple[Rows, Rows]:
    """Return each image as often as a resample has it, one copy after the other, under new ids."""
    places = np.repeat(np.arange(len(weights)), weights).tolist()
    targets = [{**wanted[place], "image_id": torch.tensor(number)} for number, place in enumerate(places)]
    return [found[place] for place in places], targets


def check(every: dict[str, Matches], metric: Any, found: Rows, wanted: Rows, prefix: str = "") -> None:
    weights = multiplicities(len(wanted), RESAMPLES, seed=1)
    values = {name: matches.values(weights) for name, matches in every.items()}
    for row in range(RESAMPLES):
        metric.reset()
        metric.update(*copies(found, wanted, weights[row]))
        expected = metric.compute()
        for name in every:
            title, _, place = name.partition("/")
            value = expected[prefix + title]
            value = float(value[int(place)]) if place else float(value)
            assert values[name][row] == pytest.approx(value if value != -1 else np.nan, abs=1e-9, nan_ok=True), name
    assert {name for name, column in values.items() if np.nanstd(column) < 1e-4} == set()


@pytest.mark.parametrize("rule", ["area", "11point"])
def test_voc_with_ties_and_difficult_targets(rule: Any) -> None:
    targets = random_targets(9, 3, seed=1)
    found = random_predictions(targets, 3, seed=2)
    for one in found:
        one["scores"] = one["scores"].double().round(decimals=1)
    metric = VOCAveragePrecision(["a", "b", "c"], interpolation=rule)
    metric.update(found, targets)
    evaluation, eleven = metric.evaluation(), rule == "11point"
    every = {"map": voc_rankings(evaluation, [1, 2, 3], eleven_points=eleven)}
    every["map_per_class/1"] = voc_rankings(evaluation, [2], eleven_points=eleven)
    check(every, metric, found, targets)


def test_captions_with_ties() -> None:
    rng = np.random.default_rng(0)
    words = ["a red dog", "a dog", "the cat on a table", "a table"]

    def regions(boxes: torch.Tensor) -> dict[str, Any]:
        return {"boxes": boxes, "phrases": [words[k] for k in rng.integers(0, 4, len(boxes))]}

    targets = random_targets(8, 1, seed=4, most=5)
    found = [
        {**regions(one["boxes"]), "scores": one["scores"].double().round(decimals=1)}
        for one in random_predictions(targets, 1, seed=5)
    ]
    wanted = [{**regions(one["boxes"].double()), "image_id": one["image_id"]} for one in targets]
    metric = DenseCaptionAP("exact_match_meteor")
    metric.update(found, wanted)
    judged = sorted(metric.judge(), key=lambda image: image.image_id)
    check({name: caption_matches(judged, name) for name in ("densecap_map", "ap_30_05", "meteor")}, metric, found,
          wanted, prefix="exact_match_")  # fmt: skip
    check({name: caption_matches(judged, name) for name in ("box_map", f"box_ap_{round(100 * IOUS[0])}")}, metric,
          found, wanted)  # fmt: skip


def test_segmentation_with_void_pixels_and_classes_that_are_missing() -> None:
    rng = np.random.default_rng(2)
    masks = [torch.tensor(rng.choice([0, 1, 2, 255] if k else [0, 1, 2, 3], (6, 5)).astype(np.uint8)) for k in range(7)]
    found = [{"mask": torch.tensor(rng.integers(0, 4, (6, 5)).astype(np.uint8))} for _ in masks]
    wanted = [{"mask": mask, "image_id": torch.tensor(0)} for mask in masks]
    metric, states = SegmentationMetrics(5), []
    for pair in zip(found, wanted, strict=True):
        metric.update(*([one] for one in pair))
        states.append(metric.confusion.numpy().copy())
        metric.reset()
    confusions = np.stack(states)
    names = ("pixel_accuracy", "mean_accuracy", "miou", "fw_iou")
    every = {name: segmentation_sums(confusions, name) for name in names}
    check({**every, "iou_per_class/3": segmentation_sums(confusions, "iou", 3)}, metric, found, wanted)
    weights = multiplicities(7, 200, seed=0)
    lost = bootstrap(every["miou"], weights, np.arange(7)).incomplete
    assert lost == (weights[:, 0] == 0).sum() > 0  # the first image alone has class 3; class 4 is in none


def test_the_boundary_of_masks() -> None:
    rng = np.random.default_rng(5)
    found, wanted = (
        [{"mask": torch.tensor(rng.integers(0, 3, (9, 8)).astype(np.uint8))} for _ in range(6)] for _ in "ab"
    )
    metric, counts = BoundaryIoU(4, width=1), []
    for pair in zip(found, wanted, strict=True):
        metric.update(*([one] for one in pair))
        counts.append(metric.counts.numpy().copy())
        metric.reset()
    check({"boundary_iou": boundary_sums(np.stack(counts))}, metric, found, wanted)


@pytest.mark.parametrize("kind", [PCKh, PCK])
def test_keypoints(kind: Any) -> None:
    rng = np.random.default_rng(3)
    points, target = (torch.tensor(rng.normal(0, 10, (8, 4, 2))) for _ in range(2))
    labeled, size = torch.tensor(rng.random((8, 4)) < 0.7), torch.tensor([*rng.uniform(10, 40, 7), np.nan])
    metric, correct, counts = kind((0.5,), left_out=[1]), [], []
    for k in range(8):
        metric.update(points[k : k + 1], target[k : k + 1], labeled[k : k + 1], size[k : k + 1])
        correct.append(metric.correct[0].numpy())
        counts.append(metric.labeled.numpy())
        metric.reset()
    totals, kept = [np.stack(parts) for parts in (correct, counts)], [0, 2, 3]
    every = {"_50": [table[:, kept] for table in totals], "_50_per_joint/1": [table[:, [1]] for table in totals]}
    weights = multiplicities(8, RESAMPLES, seed=1)
    for name, tables in every.items():
        values = keypoint_sums(*tables).values(weights)
        for row, one in enumerate(weights):
            places = np.repeat(np.arange(8), one)
            metric.reset()
            metric.update(points[places], target[places], labeled[places], size[places])
            expected = metric.compute()[kind.prefix + name.partition("/")[0]].reshape(-1)
            expected = float(expected[1 if "/" in name else 0])
            assert values[row] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_localization() -> None:
    rng = np.random.default_rng(5)
    found, wanted = [], []
    for rank in (0, 0, 0, 1, 1, 3, 6, 6, 0):
        box = torch.tensor([[10.0, 10.0, 40.0, 40.0]])
        boxes = box + torch.tensor(rng.normal(0, 9, (7, 4))).float()
        found.append({"boxes": boxes, "labels": torch.tensor(rng.permutation(7) + 1)})
        wanted.append({"boxes": box, "labels": found[-1]["labels"][[rank]]})
    metric, sums = LocalizationAccuracy(), []
    for pair in zip(found, wanted, strict=True):
        metric.update(*([one] for one in pair))
        sums.append(metric.sums.numpy().copy())
        metric.reset()
    check({name: localization_sums(np.stack(sums), name) for name in metric.FACTS}, metric, found, wanted)


def test_threads_and_units_change_nothing() -> None:
    """Two records of one image are taken together, in chunks of any size."""
    rng = np.random.default_rng(6)
    correct, units = rng.integers(0, 3, (6, 2)), np.array([0, 0, 1, 2, 2, 2])
    matches = keypoint_sums(correct, np.full((6, 2), 3))
    weights, done = multiplicities(3, 250, seed=0), []
    found = bootstrap(matches, weights, units, done.append)
    per_unit = np.array([correct[units == unit].sum() for unit in range(3)])
    people = np.bincount(units) * 6
    np.testing.assert_allclose(found.values, (weights @ per_unit) / (weights @ people), rtol=1e-12)
    assert (found.whole, sum(done)) == (pytest.approx(correct.sum() / 36), 250)
    assert (weights.sum(axis=1) == 3).all()
    assert (multiplicities(3, 100, seed=0) == weights[:100]).all()
