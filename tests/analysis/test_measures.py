"""Masks, poses, cases and phrases: equal to the metrics to the digit, and to counts by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from lit_cv.analysis.measures.cases import read_cases
from lit_cv.analysis.measures.joints import HIDDEN, VISIBLE, curve, read_poses, swapped
from lit_cv.analysis.measures.masks import mask_errors
from lit_cv.analysis.measures.phrases import read_captions
from lit_cv.metrics import PCK, DenseCaptionAP, LocalizationAccuracy, PCKh, SegmentationMetrics
from lit_cv.metrics.contours import OUTSIDE

Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


def columns(pairs: Pairs) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [found for found, _ in pairs], [target for _, target in pairs]


def test_confused_pixels_by_hand_and_the_metrics_digits() -> None:
    first = ([[0, 1, 1], [2, 2, 0]], [[0, 1, 2], [2, OUTSIDE, 1]])
    second = ([[1, 1]], [[1, 0]])
    pairs: Pairs = [
        ({"mask": torch.tensor(found, dtype=torch.uint8)},
         {"mask": torch.tensor(wanted, dtype=torch.uint8), "image_id": torch.tensor(number)})
        for number, (found, wanted) in [(3, first), (5, second)]
    ]  # fmt: skip
    errors = mask_errors(iter(pairs), 4)
    assert errors.confusion.tolist() == [[1, 1, 0, 0], [1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert (errors.image_ids.tolist(), errors.wrong.tolist(), errors.counted.tolist()) == ([3, 5], [2, 1], [5, 2])
    metric = SegmentationMetrics(4)
    metric.update(*columns(pairs))
    logged = metric.compute()
    assert np.array_equal(errors.iou, logged.pop("iou_per_class"), equal_nan=True)
    assert errors.metrics == logged


def people(count: int = 40, joints: int = 6) -> Pairs:
    rng = np.random.default_rng(0)
    pairs: Pairs = []
    for number in range(count):
        wanted = torch.from_numpy(rng.uniform(0, 100, (1, joints, 2)).astype(np.float32))
        flags = torch.from_numpy(rng.integers(0, 3, (1, joints, 1)).astype(np.float32))
        found = wanted + torch.from_numpy(rng.normal(0, 8, (1, joints, 2)).astype(np.float32))
        sizes = {"head_size": torch.tensor(np.nan if number % 7 == 0 else 20.0), "torso_size": torch.tensor(31.3)}
        target = {"keypoints": torch.cat([wanted, flags], dim=2), "image_id": torch.tensor(number), **sizes}
        pairs.append(({"keypoints": found}, target))
    return pairs


def test_the_curve_of_joints_has_the_metrics_digits_at_its_thresholds() -> None:
    poses = read_poses(iter(people()))
    head, torso = curve(poses, "head", left_out=[2]), curve(poses, "torso")
    for found, metric, size in ((head, PCKh(left_out=[2]), "head"), (torso, PCK(), "torso")):
        metric.update(poses.points, poses.wanted, poses.flags > 0, poses.sizes[size])
        logged = metric.compute()
        for threshold in metric.thresholds:
            name = f"{metric.prefix}_{round(100 * threshold)}"
            assert found.total[round(100 * threshold)] == logged[name]
            assert found.joints[round(100 * threshold)].tolist() == logged[f"{name}_per_joint"].tolist()
    parts = [curve(poses, "torso", flag=flag) for flag in (HIDDEN, VISIBLE)]
    assert (parts[0].labeled + parts[1].labeled == torso.labeled).all()
    hits = [np.rint(part.joints * part.labeled) for part in (*parts, torso)]
    assert (hits[0] + hits[1] == hits[2]).all()


def test_a_joint_on_its_partner_is_wrong_and_swapped_by_hand() -> None:
    wanted = torch.tensor([[[10.0, 10, 2], [50, 10, 2], [30, 30, 2], [30, 60, 1]]])
    found = torch.tensor(
        [[[50.0, 12], [90, 10], [10, 10], [30, 61]]]
    )  # 0 on its partner 1, 1 nowhere, 2 has no partner
    target = {"keypoints": wanted, "image_id": torch.tensor(0), "head_size": torch.tensor(10.0),
              "torso_size": torch.tensor(40.0)}  # fmt: skip
    wrong, on_partner = swapped(read_poses([({"keypoints": found}, target)]), "head", [(0, 1)], 0.5)
    assert (wrong.tolist(), on_partner.tolist()) == ([1, 1, 1, 0], [1, 0, 0, 0])


def objects(count: int = 60, classes: int = 4) -> Pairs:
    rng = np.random.default_rng(1)
    pairs: Pairs = []
    for number in range(count):
        corner = rng.uniform(0, 50, 2)
        box = np.concatenate([corner, corner + rng.uniform(10, 40, 2)])
        scores = np.sort(rng.dirichlet(np.ones(classes)))[::-1].copy()
        boxes = torch.from_numpy((box + rng.normal(0, 5, (classes, 4))).astype(np.float32))
        labels = torch.from_numpy(rng.permutation(classes) + 1)
        target = {"boxes": torch.from_numpy(box[None].astype(np.float32)), "labels": torch.tensor([number % 3 + 1]),
                  "image_id": torch.tensor(number)}  # fmt: skip
        pairs.append(
            ({"boxes": boxes, "labels": labels, "scores": torch.from_numpy(scores.astype(np.float32))}, target)
        )
    return pairs


def test_the_four_cases_make_up_the_logged_accuracies() -> None:
    pairs = objects()
    cases = read_cases(iter(pairs), 4)
    metric = LocalizationAccuracy()
    metric.update(*columns(pairs))
    assert cases.metrics == metric.compute()
    right = cases.named & cases.boxed
    assert right.mean() == cases.metrics["loc_accuracy"] > 0
    assert cases.named.mean() == cases.metrics["class_accuracy"]
    assert 1 - (cases.own_ious >= 0.5).mean() == cases.metrics["gt_class_error"]
    assert cases.confusion(4).trace() == cases.named.sum()
    assert cases.confusion(4).sum(axis=1).tolist() == [20, 20, 20, 0]
    for (found, _), row in zip(pairs, cases.probabilities, strict=True):
        assert row[found["labels"].numpy() - 1].tolist() == pytest.approx(found["scores"].tolist())


def test_the_calibration_of_classes_by_hand() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    pairs: Pairs = [
        ({"boxes": box.repeat(2, 1), "labels": torch.tensor(labels), "scores": torch.tensor([sure, 1 - sure])},
         {"boxes": box, "labels": torch.tensor([1]), "image_id": torch.tensor(number)})
        for number, (labels, sure) in enumerate([([1, 2], 0.95), ([1, 2], 0.75), ([2, 1], 0.75), ([2, 1], 0.55)])
    ]  # fmt: skip
    cases = read_cases(pairs, 2)
    assert cases.probabilities.round(2).tolist() == [[0.95, 0.05], [0.75, 0.25], [0.25, 0.75], [0.45, 0.55]]
    # The named class: 0.95 right; 0.75 right once in two; 0.55 wrong.
    assert cases.calibration.error == pytest.approx((0.05 + 2 * 0.25 + 0.55) / 4, abs=1e-7)
    # Class 1 holds in every image, class 2 in none, so each probability is wrong by its distance from 1 or 0.
    assert cases.class_ece.tolist() == pytest.approx([(0.05 + 0.25 + 0.75 + 0.55) / 4] * 2, abs=1e-7)


def region_pairs() -> Pairs:
    # The first two targets have IoU 0.9 and become one with two references.
    target = {"boxes": torch.tensor([[0.0, 0, 99, 99], [0, 0, 99, 89], [200, 200, 249, 249], [300, 0, 340, 40]]),
              "phrases": ["a red car", "car", "a green tree", "the sky"], "image_id": torch.tensor(4)}  # fmt: skip
    boxes = torch.tensor([[200.0, 200, 249, 249], [0, 0, 99, 99], [0, 0, 99, 94], [300, 0, 310, 40]])
    found = {"boxes": boxes, "phrases": ["house", "red car", "a red car", "the sky"],
             "scores": torch.tensor([0.7, 0.8, 0.9, 0.6])}  # fmt: skip
    return [(found, target)]


def test_what_becomes_of_regions_by_hand_and_the_metrics_digits() -> None:
    captions = read_captions(region_pairs(), "exact_match_meteor")
    metric = DenseCaptionAP("exact_match_meteor")
    metric.update(*columns(region_pairs()))
    assert captions.metrics == metric.compute()
    assert captions.matrix.mean() == captions.metrics["exact_match_densecap_map"] > 0
    assert captions.boxes.mean() == captions.metrics["box_map"]
    assert captions.kinds.tolist() == [[1, 1, 1, 0]]  # the car; the tree as a house; the sky, with IoU 0.27
    assert [phrase.text for phrase in captions.best(5)] == ["a red car", "house"]
    worst = captions.worst(1)[0]
    assert (worst.text, worst.references, worst.meteor, worst.image_id) == ("house", ("a green tree",), 0.0, 4)
    assert captions.counts == {"house": 1, "red car": 1, "a red car": 1, "the sky": 1}
