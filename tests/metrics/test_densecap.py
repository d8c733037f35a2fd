from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.metrics import DenseCaptionAP
from lit_cv.metrics.densecap import IOUS, METEORS
from lit_cv.metrics.meteor import exact_match_meteor
from tests.helpers.two_processes import results_of_two
from tests.metrics.test_meteor import needs_meteor

WORDS = ("a", "the", "red", "blue", "dog", "cat", "on", "grass")
IMAGES = 15
Regions = list[dict[str, Any]]


def regions(boxes: list[list[float]], phrases: list[str], **more: Any) -> dict[str, Any]:
    return {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "phrases": phrases, **more}


def computed(predictions: Regions, targets: Regions, **options: Any) -> dict[str, float]:
    metric = DenseCaptionAP(**{"meteor": "exact_match_meteor", **options})
    metric.update(predictions, targets)
    return metric.compute()


def by_hand() -> tuple[dict[str, Any], dict[str, Any]]:
    # The first two boxes have IoU 0.9 and become (0, 0, 99, 94) with two references.
    target = regions(
        [[0, 0, 99, 99], [0, 0, 99, 89], [200, 200, 249, 249]], ["a red car", "car", "a green tree"],
        image_id=torch.tensor(0),
    )  # fmt: skip
    prediction = regions(
        [[200, 200, 249, 249], [0, 0, 99, 99], [0, 0, 99, 94]], ["the tree", "red car", "a red car"],
        scores=torch.tensor([0.7, 0.8, 0.9]),
    )  # fmt: skip
    return prediction, target


def test_merged_references_and_a_double_detection_worked_by_hand() -> None:
    prediction, target = by_hand()
    result = computed([prediction], [target], language=True)
    # By score: right; wrong (same box again); the other box, with METEOR 0.1404. Recall 1/2 is reached with
    # precision 1 (recalls 0 to 0.50), recall 1 with precision 2/3 (0.51 to 1) if the last one is right.
    both, one = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert result["exact_match_ap_30_10"] == result["exact_match_ap_70_00"] == pytest.approx(both, abs=1e-12)
    assert result["exact_match_ap_30_15"] == result["exact_match_ap_70_25"] == pytest.approx(one, abs=1e-12)
    assert result["exact_match_densecap_map"] == pytest.approx((both + one) / 2, abs=1e-12)
    assert result["box_map"] == result["box_ap_70"] == pytest.approx(both, abs=1e-12)
    # "red car" is closer to "car" (P 1/2, R 1, one chunk of one match) than to "a red car".
    scores = [1, 0.5 / (0.85 * 0.5 + 0.15) * 0.4, (1 / 6) / 0.475 * 0.4]
    assert result["exact_match_meteor"] == pytest.approx(sum(scores) / 3, abs=1e-12)
    assert result["exact_match_language_meteor"] == pytest.approx(sum(scores) / 3, abs=1e-12)


def test_a_box_is_taken_by_the_highest_score_even_with_a_small_overlap() -> None:
    target = regions([[0, 0, 99, 99]], ["a dog"], image_id=torch.tensor(0))
    boxes = [[0, 0, 99, 49], [0, 0, 99, 99], [300, 300, 310, 310]]  # IoU 0.5, 1 and none
    prediction = regions(boxes, ["a dog"] * 3, scores=torch.tensor([0.9, 0.8, 0.95]))
    result = computed([prediction], [target])
    assert [result[f"box_ap_{t}"] for t in (30, 40, 50, 60, 70)] == pytest.approx([0.5, 0.5, 0.5, 0, 0])
    assert result["exact_match_meteor"] == pytest.approx(2 / 3)  # the last one has no reference


def test_without_targets_and_without_predictions() -> None:
    nothing = {**regions([], []), "scores": torch.zeros(0)}
    empty, full = regions([], [], image_id=torch.tensor(1)), by_hand()[1]
    result = computed([nothing], [empty], language=True)
    assert set(result.values()) == {-1.0}
    assert computed([], [])["box_map"] == -1
    result = computed([nothing, by_hand()[0]], [full, empty])
    assert result["box_map"] == result["exact_match_densecap_map"] == result["exact_match_meteor"] == 0


def random_images(seed: int) -> tuple[Regions, Regions]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []

    def phrase() -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(1, 5))))

    for image_id in range(IMAGES):
        corner = rng.integers(0, 120, (int(rng.integers(0, 12)), 2))
        boxes = np.concatenate([corner, corner + rng.integers(20, 120, corner.shape)], axis=1)
        boxes = np.repeat(boxes, rng.integers(1, 4, len(boxes)), axis=0)
        boxes = boxes + rng.integers(-6, 7, boxes.shape)
        near = np.repeat(boxes, 2, axis=0) + rng.integers(-14, 15, (2 * len(boxes), 4))
        far = rng.integers(0, 100, (3, 2))
        found = np.concatenate([near, np.concatenate([far, far + rng.integers(5, 90, (3, 2))], axis=1)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        texts = [phrase() for _ in boxes]
        said = [texts[k // 2] if k < len(near) and rng.random() < 0.6 else phrase() for k in range(len(found))]
        scores = torch.tensor(rng.permutation(1000)[: len(found)] / 1000 + image_id * 1e-5)
        predictions.append(regions(found.tolist(), said, scores=scores))
        targets.append(regions(boxes.tolist(), texts, image_id=torch.tensor(image_id * 3)))
    return predictions, targets


def overlap(a: list[float], b: list[float]) -> float:
    width, height = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + 1 for k in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    area = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (area[0] + area[1] - width * height)


def merge(boxes: list[list[float]], phrases: list[str]) -> list[tuple[list[float], tuple[str, ...]]]:
    left, groups = list(range(len(boxes))), []
    while left:
        groups_of = [[j for j in left if overlap(boxes[i], boxes[j]) >= 0.7] for i in left]
        group = max(groups_of, key=len)
        mean = [sum(boxes[j][c] for j in group) / len(group) for c in range(4)]
        groups.append((mean, tuple(phrases[j] for j in group)))
        left = [j for j in left if j not in group]
    return groups


def brute_force(predictions: Regions, targets: Regions) -> dict[str, float]:
    """Compute the definition in loops, for distinct scores."""
    records, count = [], 0
    for prediction, target in zip(predictions, targets, strict=True):
        merged = merge(target["boxes"].double().tolist(), target["phrases"])
        count += len(merged)
        taken = set()
        rows = zip(
            prediction["scores"].tolist(), prediction["boxes"].double().tolist(), prediction["phrases"], strict=True
        )
        for score, box, phrase in sorted(rows, reverse=True):
            best, where = 0.0, -1
            for k, (other, _) in enumerate(merged):
                if overlap(box, other) > best:
                    best, where = overlap(box, other), k
            references = merged[where][1] if where >= 0 else ()
            records.append(
                (score, best, where >= 0 and where not in taken, exact_match_meteor([(phrase, references)])[0])
            )
            taken.add(where)
    records.sort(reverse=True)

    def average(t: float, s: float) -> float:
        points, right = [], 0
        for number, (_, iou, takes, similarity) in enumerate(records, start=1):
            right += takes and iou >= t and similarity > s
            points.append((right, right / number))
        highest = [max((p for n, p in points if 100 * n >= k * count), default=0.0) for k in range(101)]
        return sum(highest) / 101

    return {
        "exact_match_densecap_map": sum(average(t, s) for t in IOUS for s in METEORS) / 30,
        "box_map": sum(average(t, -1) for t in IOUS) / 5,
        "exact_match_ap_50_10": average(0.5, 0.1),
        "exact_match_meteor": sum(record[3] for record in records) / len(records),
    }


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition_in_loops_on_random_regions(seed: int) -> None:
    predictions, targets = random_images(seed)
    result, expected = computed(predictions, targets), brute_force(predictions, targets)
    assert 0.05 < expected["exact_match_densecap_map"] < expected["box_map"] < 0.95
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name


@needs_meteor
def test_with_meteor_itself_and_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, target = by_hand()
    metric = DenseCaptionAP()
    metric.update([prediction], [target])
    result = metric.compute()
    assert not [name for name in result if name.startswith("exact_match")]
    assert result["box_map"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert 0 < result["meteor"] < 1
    monkeypatch.setenv("PATH", "")
    metric.reset()
    metric.update([prediction], [target])
    assert metric.compute() == result  # all pairs were scored before, so the program is not started
    metric.update([{**prediction, "phrases": ["a", "new", "phrase"]}], [{**target, "image_id": torch.tensor(1)}])
    with pytest.raises(UserError, match="openjdk"):
        metric.compute()
    with pytest.raises(UserError, match="openjdk"):
        DenseCaptionAP()


def test_invalid_input_is_reported() -> None:
    prediction, target = by_hand()
    metric = DenseCaptionAP("exact_match_meteor")
    with pytest.raises(ValueError, match="image 0: columns of different lengths"):
        metric.update([{**prediction, "phrases": ["one"]}], [target])
    with pytest.raises(ValueError, match="bleu"):
        DenseCaptionAP("bleu")  # type: ignore[arg-type]


# Images of each of two ranks: an odd split, one rank without any image, and a padding sampler that repeats images.
SHARES: list[tuple[list[int], list[int]]] = [
    (list(range(0, IMAGES, 2)), list(range(1, IMAGES, 2))),
    (list(range(IMAGES)), []),
    ([*range(0, IMAGES, 2), 0], [*range(1, IMAGES, 2), 0, 1]),
]


def evaluate(share: list[int]) -> dict[str, float]:
    predictions, targets = random_images(seed=9)
    metric = DenseCaptionAP("exact_match_meteor", language=True)
    for index in share:
        metric.update([predictions[index]], [targets[index]])
    return metric.compute()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_same_digits_as_one(tmp_path: Path) -> None:
    expected = evaluate(list(range(IMAGES)))
    assert 0.05 < expected["exact_match_densecap_map"] < 0.9
    assert results_of_two(evaluate, SHARES, tmp_path) == [expected] * 2 * len(SHARES)
