"""TIDE's errors and their costs against a second computation, object by object, from the text of the paper."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lit_cv.analysis.detection.matches import detections
from lit_cv.analysis.detection.tide import KINDS, costs, find_errors
from tests.analysis.scenes import Image, evaluation, image, perturbed

BIRD, CAT = 1, 2
BOX, NEAR, APART = [0, 0, 10, 10], [3, 0, 13, 10], [50, 50, 60, 60]


def overlap(first, second, crowd=False):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (areas[0] if crowd else areas[0] + areas[1] - both)


def average_precision(points, objects):
    """The 101-point AP of (score, right)."""
    if not objects:
        return 0.0
    points = sorted(points, key=lambda point: -point[0])
    curve = []
    for number in range(1, len(points) + 1):
        true = sum(right for _, right in points[:number])
        curve.append((true / objects, true / number))
    return sum(max((p for r, p in curve if r >= k / 100), default=0.0) for k in range(101)) / 101


def mean(points, objects):
    """The mean over the classes with a detection or an object."""
    labels = {label for label, *_ in points} | {label for label, count in objects.items() if count}
    values = [average_precision([p[1:] for p in points if p[0] == label], objects[label]) for label in labels]
    return sum(values) / len(values)


def judge(images: list[Image]):
    """Yield (kind, detection's label, score, object it would find, ignored) and the keys of missed and lost objects."""
    rows, missed, lost, labels = [], [], [], {}
    for found, target in images:
        key, boxes, own = int(target["image_id"]), target["boxes"].tolist(), target["labels"].tolist()
        solid = [k for k, crowd in enumerate(target["iscrowd"].tolist()) if not crowd]
        crowds = [k for k in range(len(own)) if k not in solid]
        labels |= {(key, k): own[k] for k in solid}
        order = sorted(range(len(found["scores"])), key=lambda k: -float(found["scores"][k]))[:100]
        taken, hits, wishes = set(), {}, {}
        for d in order:
            free = [k for k in solid if k not in taken and own[k] == int(found["labels"][d])]
            best = max(free, key=lambda k: overlap(found["boxes"][d].tolist(), boxes[k]), default=None)
            if best is not None and overlap(found["boxes"][d].tolist(), boxes[best]) >= 0.5:
                taken.add(best)
                hits[d] = best
        for d in order:
            box, label, score = found["boxes"][d].tolist(), int(found["labels"][d]), float(found["scores"][d])
            same = (
                max((overlap(box, boxes[k]), -k) for k in [*solid, 0] if k in solid and own[k] == label)
                if any(own[k] == label for k in solid)
                else (0.0, 0)
            )
            other = max(((overlap(box, boxes[k]), -k) for k in solid if own[k] != label), default=(0.0, 0))
            inside = any(overlap(box, boxes[k], True) > 0.5 and own[k] == label for k in crowds)
            wish = None
            if d in hits:
                kind = ""
            elif 0.1 <= same[0] <= 0.5:
                kind, wish = "Loc", -same[1]
            elif other[0] >= 0.5:
                kind, wish = "Cls", -other[1]
            elif any(overlap(box, boxes[k]) >= 0.5 and own[k] == label and k in taken for k in solid):
                kind = "Dupe"
            else:
                kind = "Bkg" if max(same[0], other[0]) <= 0.1 else "Both"
            first = wish is not None and wish not in taken and wishes.setdefault(wish, d) == d
            rows.append((kind, label, score, (key, wish) if first else None, kind != "" and inside))
        lost += [(key, k) for k in solid if k not in taken]
        missed += [(key, k) for k in solid if k not in taken and k not in wishes]
    return rows, missed, lost, labels


def second_computation(images: list[Image]):
    rows, missed, lost, labels = judge(images)
    objects = Counter(labels.values())
    base = mean([(label, score, kind == "") for kind, label, score, _, ignored in rows if not ignored], objects)
    values = {"AP": base}
    for fixed in KINDS:
        points = []
        for kind, label, score, wish, ignored in rows:
            if kind != fixed:
                points += [] if ignored else [(label, score, kind == "")]
            elif wish:
                points.append((labels[wish], score, True))
        count = objects - Counter(labels[key] for key in missed) if fixed == "Miss" else objects
        values[fixed] = max(mean(points, count) - base, 0)
    seen = [(label, score, kind == "") for kind, label, score, _, ignored in rows if not ignored]
    values["FP"] = mean([(label, float(right), right) for label, _, right in seen], objects) - base
    values["FN"] = mean(seen, objects - Counter(labels[key] for key in lost)) - base
    return values, {kind: sum(row[0] == kind for row in rows) for kind in KINDS} | {"Miss": len(missed)}


def ours(images: list[Image]):
    found = detections(evaluation(images))
    errors = find_errors(found)
    return costs(found, errors), errors.counts()


def random_images(seed: int) -> list[Image]:
    chance = np.random.default_rng(seed)
    images = []
    for number in range(int(chance.integers(2, 9))):
        count = int(chance.integers(0, 7))
        low, sides = chance.uniform(0, 80, (count, 2)), chance.uniform(10, 60, (count, 2))
        rows = np.concatenate([low, low + sides, chance.integers(1, 5, (count, 1))], axis=1).tolist()
        crowds = tuple(np.flatnonzero(chance.random(count) < 0.15).tolist())
        target = image(number, rows, [], crowds)[1]
        images.append((perturbed(target, chance, np.arange(1, 6)), target))
    return images


@pytest.mark.parametrize("seed", range(12))
def test_random_errors_cost_what_a_second_computation_finds(seed: int) -> None:
    images = random_images(seed)
    (values, counts), (expected, numbers) = ours(images), second_computation(images)
    assert counts == numbers
    assert values == pytest.approx(expected, abs=1e-12)


HAND = {
    "right": ([[*BOX, BIRD]], [[*BOX, BIRD, 0.9]], {}, 1.0),
    "class": ([[*BOX, BIRD]], [[*BOX, CAT, 0.9]], {"Cls": 1}, 0.0),
    "place": ([[*BOX, BIRD]], [[6, 0, 16, 10, BIRD, 0.9]], {"Loc": 1}, 0.0),
    "both": ([[*BOX, BIRD]], [[6, 0, 16, 10, CAT, 0.9]], {"Both": 1, "Miss": 1}, 0.0),
    "duplicate": ([[*BOX, BIRD]], [[*BOX, BIRD, 0.9], [*NEAR, BIRD, 0.8]], {"Dupe": 1}, 1.0),
    "background": ([[*BOX, BIRD]], [[*BOX, BIRD, 0.8], [*APART, BIRD, 0.9]], {"Bkg": 1}, 0.5),
    "missed": ([[*BOX, BIRD], [*APART, BIRD]], [[*BOX, BIRD, 0.9]], {"Miss": 1}, 51 / 101),
    "nothing found": ([[*BOX, BIRD]], [], {"Miss": 1}, 0.0),
}


@pytest.mark.parametrize("case", HAND)
def test_hand_cases(case: str) -> None:
    targets, found, kinds, ap = HAND[case]
    values, counts = ours([image(0, targets, found)])
    assert counts == dict.fromkeys(KINDS, 0) | kinds
    assert values["AP"] == pytest.approx(ap)


def test_a_detection_in_a_crowd_is_no_false_positive_and_of_two_wrong_places_the_higher_score_is_fixed() -> None:
    crowd = image(0, [[0, 0, 100, 100, BIRD], [*BOX, BIRD]], [[40, 40, 50, 50, BIRD, 0.9], [*BOX, BIRD, 0.8]], (0,))
    assert ours([crowd])[0]["AP"] == 1
    places = image(0, [[*BOX, BIRD]], [[6, 0, 16, 10, BIRD, 0.9], [0, 6, 10, 16, BIRD, 0.8]])
    values, counts = ours([places])
    assert (counts["Loc"], counts["Miss"], values["Loc"]) == (2, 0, 1.0)


def test_the_real_subset_costs_what_a_second_computation_finds(real_data: Path) -> None:
    dataset = json.loads((real_data / "coco/annotations/instances_val2017.json").read_text())
    labels = {row["id"]: place + 1 for place, row in enumerate(dataset["categories"])}
    chance, images = np.random.default_rng(0), []
    for number, row in enumerate(dataset["images"]):
        own = [a for a in dataset["annotations"] if a["image_id"] == row["id"]]
        boxes = [[x, y, x + w, y + h, labels[a["category_id"]]] for a in own for x, y, w, h in [a["bbox"]]]
        crowds = tuple(place for place, a in enumerate(own) if a["iscrowd"])
        target = image(number, boxes, [], crowds)[1]
        images.append((perturbed(target, chance, np.arange(1, len(labels) + 1)), target))
    (values, counts), (expected, numbers) = ours(images), second_computation(images)
    assert counts == numbers
    assert sum(counts.values()) > 500
    assert values == pytest.approx(expected, abs=1e-12)
