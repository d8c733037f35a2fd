import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pycocotools import mask as official_masks
from torch import Tensor

from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.coco_tables import COCO_SIGMAS
from lit_cv.ops.mask_runs import encode_masks
from lit_cv.ops.rle import compress_masks
from tests.helpers.real_coco import columns, dense, evaluated, grouped, load, moved
from tests.helpers.two_processes import in_two_processes

NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100")
PEOPLE_NAMES = ("map", "map_50", "map_75", "map_medium", "map_large", "mar_20")
Case = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def as_runs(masks: np.ndarray) -> dict[str, Tensor]:
    runs = encode_masks(torch.from_numpy(masks))
    return {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": torch.tensor(runs.size)}


def mask_case(dataset: dict[str, Any]) -> tuple[Case, list[dict[str, Any]]]:
    """Return predictions, targets, and the predictions in COCO's result format."""
    rng = np.random.default_rng(0)
    ids = sorted(category["id"] for category in dataset["categories"])
    predictions, targets, results = [], [], []
    for image, rows in grouped(dataset):
        target, masks = columns(image, rows, ids), dense(image, rows)
        found = moved(masks, rng)
        labels = target["labels"].numpy()[rng.integers(0, len(rows), len(found))] if len(rows) else np.zeros(0, int)
        labels[::2] = target["labels"].numpy()[: len(labels[::2])]
        scores = rng.random(len(found)).round(2).astype(np.float32)
        boxes = torch.tensor(rng.uniform(0, 90, (len(found), 4))).float()  # must be ignored
        predictions.append({"boxes": boxes, "scores": torch.tensor(scores), "labels": torch.tensor(labels)})
        predictions[-1] |= as_runs(found)
        targets.append(target | as_runs(masks))
        results += [
            {
                "image_id": image["id"],
                "category_id": ids[label - 1],
                "score": score,
                "segmentation": official_masks.encode(np.asfortranarray(mask)),
            }
            for mask, label, score in zip(found, labels.tolist(), scores.tolist(), strict=True)
        ]
    return (predictions, targets), results


def people_case(dataset: dict[str, Any], joints: int = 17) -> tuple[Case, list[dict[str, Any]]]:
    rng = np.random.default_rng(1)
    predictions, targets, results = [], [], []
    for image, rows in grouped(dataset):
        keypoints = np.array([row["keypoints"] for row in rows], dtype=np.float32).reshape(len(rows), 17, 3)
        keypoints = keypoints[:, :joints]
        targets.append(columns(image, rows, [1]) | {"keypoints": torch.tensor(keypoints)})
        rounds = 12 if len(rows) > 2 else 3  # more than the maximum of 20
        spread = np.array([row["area"] for row in rows]) ** 0.5
        noise = rng.normal(0, 0.08, (rounds, *keypoints.shape)) * spread[:, None, None]
        found = (keypoints + noise).reshape(-1, joints, 3).astype(np.float32)
        scores = rng.random(len(found)).round(2).astype(np.float32)
        predictions.append(
            {
                "boxes": torch.zeros(len(found), 4),
                "scores": torch.tensor(scores),
                "labels": torch.ones(len(found), dtype=torch.int64),
                "keypoints": torch.tensor(found),
            }
        )
        results += [
            {"image_id": image["id"], "category_id": 1, "score": score, "keypoints": points}
            for points, score in zip(found.reshape(-1, 3 * joints).tolist(), scores.tolist(), strict=True)
        ]
    return (predictions, targets), results


def updated(case: Case, share: list[int], **options: Any) -> COCOAveragePrecision:
    metric = COCOAveragePrecision(**options)
    for index in share:
        metric.update([case[0][index]], [case[1][index]])
    return metric


def work(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = []
    for iou_type in ("segm", "keypoints"):
        case = torch.load(f"{folder}/{iou_type}.pt", weights_only=True)
        share = list(range(len(case[0])))
        share = share[:5] if rank else share[3:]  # unequal lengths; some images are on both ranks
        results.append(updated(case, share, iou_type=iou_type).compute())
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_and_keypoints_equal_pycocotools_on_one_and_two_processes(real_data: Path, tmp_path: Path) -> None:
    expected, one_process = [], []
    folder = real_data / "coco/annotations"
    for iou_type, file, images, make, names in (
        ("segm", "instances_val2017.json", 40, mask_case, NAMES),
        ("keypoints", "person_keypoints_train2017.json", 53, people_case, PEOPLE_NAMES),
    ):
        dataset = load(folder / file, images)
        case, results = make(dataset)
        torch.save(case, tmp_path / f"{iou_type}.pt")
        official = evaluated(dataset, results, iou_type)
        expected.append(dict(zip(names, official.stats, strict=False)))
        assert all(0.05 < value < 0.99 for value in expected[-1].values()), expected[-1]
        classes = [category["name"] for category in dataset["categories"]]
        result = updated(case, list(range(len(case[0]))), iou_type=iou_type, class_names=classes).compute()
        table = official.eval["precision"][..., 0, -1]
        per_class = [table[:, :, k][table[:, :, k] > -1] for k in range(len(classes))]
        means = [rows.mean() if rows.size else -1 for rows in per_class]
        assert result.pop("map_per_class").tolist() == pytest.approx(means, abs=1e-9)
        del result["map_50_per_class"]
        one_process.append(result)
        # the crowds change the result
        crowdless = {**dataset, "annotations": [row | {"iscrowd": 0} for row in dataset["annotations"]]}
        assert evaluated(crowdless, results, iou_type).stats[0] != pytest.approx(official.stats[0], abs=1e-4)
    in_two_processes(work, str(tmp_path))
    for found in (one_process, *(json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))):
        assert found == [pytest.approx(digits, abs=1e-9) for digits in expected]


def test_other_skeletons_take_their_own_sigmas(real_data: Path) -> None:
    dataset = load(real_data / "coco/annotations/person_keypoints_val2017.json", images=53)
    case, results = people_case(dataset, joints=5)
    annotations = [
        {**row, "keypoints": row["keypoints"][:15], "num_keypoints": sum(v > 0 for v in row["keypoints"][2:15:3])}
        for row in dataset["annotations"]
    ]
    sigmas = [0.2, 0.1, 0.1, 0.3, 0.05]
    dataset = {**dataset, "annotations": annotations}
    stats = evaluated(dataset, results, "keypoints", sigmas).stats
    result = updated(case, list(range(len(case[0]))), iou_type="keypoints", sigmas=sigmas).compute()
    assert result == pytest.approx(dict(zip(PEOPLE_NAMES, stats, strict=False)), abs=1e-9)
    others = evaluated(dataset, results, "keypoints", COCO_SIGMAS[:5]).stats
    assert stats[0] != pytest.approx(others[0], abs=1e-3)


def squares(*spans: tuple[int, int]) -> np.ndarray:
    """Return one mask per span; it fills rows of 10 pixels from the first row to the last."""
    masks = np.zeros((len(spans), 20, 10), np.uint8)
    for mask, (top, bottom) in zip(masks, spans, strict=True):
        mask[top:bottom] = 1
    return masks


def row(masks: dict[str, Any], scores: list[float] | None = None, **more: Any) -> dict[str, Any]:
    count = len(more.pop("labels", [])) or len(scores or [0])
    found = {"boxes": torch.zeros(count, 4), "labels": torch.ones(count, dtype=torch.int64)}
    if scores is None:
        return found | {"image_id": torch.tensor(4), "area": torch.full((count,), 100.0)} | masks | more
    return found | {"scores": torch.tensor(scores)} | masks


def test_masks_by_hand_and_in_every_form() -> None:
    # The target has ten rows. The first predicted mask shares 8 of 10 (IoU 0.8: true up to 0.80, 7 of 10 thresholds).
    # The second shares 2 of 14 and is never true.
    wanted, found = squares((0, 10)), squares((0, 8), (8, 12))
    forms = [as_runs(found), {"masks": torch.from_numpy(found)}, {"masks": torch.from_numpy(found).bool()}]
    strings = [official_masks.encode(np.asfortranarray(mask)) for mask in found]
    forms += [
        {"masks": strings},
        {"masks": [{**mask, "counts": mask["counts"].decode()} for mask in strings]},
        {"masks": [{"size": [20, 10], "counts": [0, *[8, 12] * 10]},
                   {"size": [20, 10], "counts": [8, *[4, 16] * 9, 4, 8]}]},
    ]  # fmt: skip
    for form in forms:
        metric = COCOAveragePrecision("segm")
        metric.update([row(form, [0.9, 0.8])], [row(as_runs(wanted))])
        result = metric.compute()
        assert (result["map"], result["mar_100"]) == pytest.approx((0.7, 0.7))
        assert (result["map_50"], result["map_75"]) == pytest.approx((1.0, 1.0))
        assert all(isinstance(mask, bytes) for mask in metric.images[0].found["masks"])  # compact


def test_the_size_of_a_predicted_mask_is_its_pixel_count_not_its_box() -> None:
    # Unmatched predictions outside the size class are ignored: 160 pixels are small, a box of 100² is large.
    boxes = torch.tensor([[0.0, 0, 100, 100], [0, 0, 100, 100]])
    metric = COCOAveragePrecision("segm")
    found = row(as_runs(squares((12, 20), (0, 10))), [0.9, 0.8]) | {"boxes": boxes}
    metric.update([found], [row(as_runs(squares((0, 10))))])
    result = metric.compute()
    assert (result["map"], result["map_small"]) == pytest.approx((0.5, 0.5))
    assert result["map_large"] == -1


def test_masks_within_a_crowd_are_not_penalized_and_empty_input_is_accepted() -> None:
    metric = COCOAveragePrecision("segm")
    target = row(as_runs(squares((0, 5), (5, 20))), labels=[1, 1], iscrowd=torch.tensor([0, 1]))
    metric.update([row(as_runs(squares((6, 9), (0, 5))), [0.9, 0.8])], [target])
    assert metric.compute()["map"] == pytest.approx(1.0)
    for iou_type, empty in (("segm", as_runs(squares())), ("keypoints", {"keypoints": torch.zeros(0, 17, 3)})):
        empty |= {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
        metric = COCOAveragePrecision(iou_type)  # type: ignore[arg-type]
        target = {"image_id": torch.tensor(1), "area": torch.zeros(0)}
        for images in (0, 1):
            metric.update([empty | {"scores": torch.zeros(0)}] * images, [empty | target] * images)
            assert set(metric.compute().values()) == {-1.0}
            metric.reset()


def test_keypoints_by_hand() -> None:
    # One joint, 8 pixels off, of a person of 3200 square pixels: OKS = exp(-8² / (2 · 3200 · (2 · 0.1)²)) = exp(-0.25)
    # = 0.779, at or above 6 of the 10 thresholds. A second, unlabeled joint does not count.
    points = torch.tensor([[[50.0, 50, 2], [0, 0, 0]]])
    target = {"boxes": torch.tensor([[30.0, 30, 70, 110]]), "labels": torch.tensor([1]), "image_id": torch.tensor(4)}
    target |= {"area": torch.tensor([3200.0]), "keypoints": points}
    found = row({"keypoints": torch.tensor([[[58.0, 50, -7], [500, 500, 3]]])}, [0.5])
    metric = COCOAveragePrecision("keypoints", class_names=["person"], sigmas=[0.1, 0.1])
    metric.update([found], [target])
    result = metric.compute()
    assert [result[name] for name in ("map", "mar_20", "map_medium")] == pytest.approx([0.6] * 3)
    assert result["map_per_class"].tolist() == pytest.approx([0.6])
    assert result.keys() == {*PEOPLE_NAMES, "map_per_class", "map_50_per_class"}
    # Without labeled people, predictions are not penalized.
    metric.reset()
    metric.update([found], [target | {"keypoints": torch.zeros(1, 2, 3)}])
    assert metric.compute()["map"] == -1


def test_invalid_input_is_reported() -> None:
    metric, mask = COCOAveragePrecision("segm"), as_runs(squares((0, 9)))
    target = row(mask)
    for wrong, sentence in (
        ({}, "image 4: masks are missing"),
        ({**mask, "mask_size": torch.tensor([20, 11])}, "image 4: runs of 200 pixels in a mask of 20x11"),
        ({**mask, "mask_lengths": torch.tensor([3])}, "image 4: 21 runs, but mask_lengths sum to 3"),
        ({**mask, "mask_lengths": torch.tensor([21, 0])}, "image 4: a mask without runs"),
        ({"masks": torch.ones(1, 20, 10)}, r"image 4: masks are torch.float32 \(1, 20, 10\)"),
        ({"masks": [{"size": [20, 10], "counts": [3, 4]}]}, "image 4: runs of 7 pixels in a mask of 20x10"),
        (as_runs(squares((0, 9), (0, 8))), "image 4: columns of different lengths"),
        ({"masks": torch.ones(1, 9, 9, dtype=torch.uint8)}, "image 4: masks of 9x9 and of 20x10"),
    ):
        with pytest.raises(ValueError, match=sentence):
            metric.update([row(wrong, [0.5])], [target])
    del target["area"]
    with pytest.raises(ValueError, match="image 4: the target has no area"):
        metric.update([row(mask, [0.5])], [target])
    people = COCOAveragePrecision("keypoints")
    for wrong, sentence in (
        ({}, "image 4: keypoints are missing"),
        ({"keypoints": torch.zeros(1, 16, 3)}, r"image 4: keypoints are \(1, 16, 3\), but there are 17 sigmas"),
    ):
        with pytest.raises(ValueError, match=sentence):
            people.update([row(wrong, [0.5])], [row({"keypoints": torch.zeros(1, 17, 3)})])


def test_compressed_runs_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for shape in ((9, 13, 7), (3, 300, 200), (2, 1, 1), (2, 40000, 1), (0, 4, 4)):
        masks = (rng.random(shape) < rng.random((shape[0], 1, 1)) ** 3).astype(np.uint8)
        masks[:1] = 1
        expected = [official_masks.encode(np.asfortranarray(mask))["counts"] for mask in masks]
        assert compress_masks(encode_masks(torch.from_numpy(masks))) == expected
