import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from lit_cv.metrics import SegmentationMetrics

CLASSES, IMAGES, ABSENT = 6, 7, 4
Masks = list[dict[str, Tensor]]


def scenes(seed: int = 0, classes: int = CLASSES) -> tuple[Masks, Masks]:
    """Return predictions and targets of several sizes; class 4 occurs nowhere, a tenth of the targets is void."""
    rng = np.random.default_rng(seed)
    present = [label for label in range(classes) if label != ABSENT]
    preds, targets = [], []
    for index in range(IMAGES):
        size = (int(rng.integers(3, 20)), int(rng.integers(3, 20)))
        wanted = rng.choice(present, size)
        found = np.where(rng.random(size) < 0.6, wanted, rng.choice(present, size))
        wanted[rng.random(size) < 0.1] = 255
        preds.append({"mask": torch.from_numpy(found.astype(np.uint8))})
        targets.append({"mask": torch.from_numpy(wanted.astype(np.uint8)), "image_id": torch.tensor(index)})
    return preds, targets


def evaluate(preds: Masks, targets: Masks, classes: int = CLASSES, batch: int = 3) -> dict[str, Any]:
    metric = SegmentationMetrics(classes)
    for start in range(0, len(preds), batch):
        metric.update(preds[start : start + batch], targets[start : start + batch])
    return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in metric.compute().items()}


def by_hand(preds: Masks, targets: Masks, classes: int) -> dict[str, Any]:
    """Compute the formulas of Long et al. 2015, pixel set by pixel set."""
    found = np.concatenate([pred["mask"].numpy().ravel() for pred in preds])
    wanted = np.concatenate([target["mask"].numpy().ravel() for target in targets])
    found, wanted = found[wanted != 255], wanted[wanted != 255]
    accuracy, iou, weight = [], [], []
    for label in range(classes):
        hits = np.count_nonzero((found == label) & (wanted == label))
        union = np.count_nonzero((found == label) | (wanted == label))
        weight.append(np.count_nonzero(wanted == label))
        accuracy.append(hits / weight[-1] if weight[-1] else np.nan)
        iou.append(hits / union if union else np.nan)
    return {
        "pixel_accuracy": np.mean(found == wanted),
        "mean_accuracy": np.nanmean(accuracy),
        "miou": np.nanmean(iou),
        "fw_iou": np.nansum(np.array(weight) * iou) / len(wanted),
        "iou_per_class": iou,
    }


@pytest.mark.parametrize("classes", [CLASSES, 21, 150])  # 150: pairs of labels need more than two bytes
def test_the_four_measures_equal_their_definition(classes: int) -> None:
    preds, targets = scenes(classes=classes)
    found, expected = evaluate(preds, targets, classes), by_hand(preds, targets, classes)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-14, nan_ok=True)
    assert np.isnan(found["iou_per_class"][ABSENT])


def test_two_by_two_by_hand() -> None:
    # Target 0 0 / 1 void, prediction 0 1 / 1 1: n_00 = 1, n_01 = 1, n_11 = 1.
    target = {"mask": torch.tensor([[0, 0], [1, 255]], dtype=torch.uint8), "image_id": torch.tensor(0)}
    pred = {"mask": torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)}
    assert evaluate([pred], [target], classes=3) == {
        "pixel_accuracy": pytest.approx(2 / 3),
        "mean_accuracy": pytest.approx((1 / 2 + 1) / 2),
        "miou": pytest.approx((1 / 2 + 1 / 2) / 2),
        "fw_iou": pytest.approx((2 * 1 / 2 + 1 * 1 / 2) / 3),
        "iou_per_class": pytest.approx([1 / 2, 1 / 2, np.nan], nan_ok=True),
    }


def test_a_class_that_is_only_predicted_has_iou_0_and_no_accuracy() -> None:
    target = {"mask": torch.zeros(2, 2, dtype=torch.uint8), "image_id": torch.tensor(0)}
    pred = {"mask": torch.tensor([[0, 2], [0, 0]], dtype=torch.uint8)}
    found = evaluate([pred], [target], classes=3)
    assert found["miou"] == (3 / 4 + 0) / 2
    assert found["mean_accuracy"] == 3 / 4


def test_torchmetrics_agrees() -> None:
    preds, targets = scenes(seed=1)
    found = evaluate(preds, targets)
    peers = {
        "pixel_accuracy": MulticlassAccuracy(CLASSES, average="micro", ignore_index=255),
        "mean_accuracy": MulticlassAccuracy(CLASSES, average="macro", ignore_index=255),
        "miou": MulticlassJaccardIndex(CLASSES, average="macro", ignore_index=255),
        "fw_iou": MulticlassJaccardIndex(CLASSES, average="weighted", ignore_index=255),
    }
    for name, peer in peers.items():
        for pred, target in zip(preds, targets, strict=True):
            peer.update(pred["mask"].long()[None], target["mask"].long()[None])
        assert found[name] == pytest.approx(float(peer.compute()), abs=1e-6)


def test_without_any_labeled_pixel_all_results_are_nan() -> None:
    void = {"mask": torch.full((3, 4), 255, dtype=torch.uint8), "image_id": torch.tensor(0)}
    pred = {"mask": torch.zeros(3, 4, dtype=torch.uint8)}
    found = evaluate([pred], [void], classes=2)
    assert np.isnan([found[name] for name in ("pixel_accuracy", "mean_accuracy", "miou", "fw_iou")]).all()


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        (torch.zeros(4, 5), torch.zeros(5, 4), r"image 8: a mask of \(4, 5\) for a target of \(5, 4\)"),
        (torch.zeros(1, 4, 5), torch.zeros(1, 4, 5), r"image 8: a mask of \(1, 4, 5\)"),
        (torch.full((4, 5), 3), torch.zeros(4, 5), r"image 8: a prediction has label 3, but classes are 0\.\.2"),
        (torch.full((4, 5), 255), torch.full((4, 5), 255), "image 8: a prediction has label 255"),
        (torch.zeros(4, 5), torch.full((4, 5), 254), "image 8: a target has label 254"),
    ],
)
def test_errors_on_invalid_input_name_the_image(pred: Tensor, target: Tensor, message: str) -> None:
    good = {"mask": torch.zeros(2, 2, dtype=torch.uint8), "image_id": torch.tensor(7)}
    bad = {"mask": target.to(torch.uint8), "image_id": torch.tensor(8)}
    with pytest.raises(ValueError, match=message):
        SegmentationMetrics(3).update([good, {"mask": pred.to(torch.uint8)}], [good, bad])
    with pytest.raises(ValueError, match=r"image 7: masks are uint8, not torch\.int64"):
        SegmentationMetrics(3).update([{"mask": torch.zeros(2, 2).long()}], [good])
    with pytest.raises(ValueError, match="1 predictions for 2 targets"):
        SegmentationMetrics(3).update([good], [good, good])


# Seven images on two ranks: odd and even ones; all on the first, none on the second.
SHARES = [([0, 2, 4, 6], [1, 3, 5]), (list(range(IMAGES)), [])]


def work(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    preds, targets = scenes()
    results = []
    for shares in SHARES:
        share = shares[rank]
        results.append(evaluate([preds[index] for index in share], [targets[index] for index in share], batch=1))
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_same_digits_as_one(tmp_path: Path) -> None:
    expected = evaluate(*scenes())
    assert 0.2 < expected["miou"] < 0.8
    mp.start_processes(work, args=(str(tmp_path),), nprocs=2, start_method="fork")
    for rank in range(2):
        for result in pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()):
            np.testing.assert_equal(result, expected)
