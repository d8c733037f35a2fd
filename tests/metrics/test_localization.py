import os
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torchvision.ops import box_iou

from lit_cv.metrics import LocalizationAccuracy

IMAGES, CLASSES = 21, 7
TRUTH = [[0.0, 0, 10, 10]]
EXACT, HALF, THIRD, FAR = [0.0, 0, 10, 10], [0.0, 0, 10, 5], [5.0, 0, 15, 10], [20.0, 20, 30, 30]
Columns = dict[str, Tensor]


def found(*pairs: tuple[int, list[float]]) -> Columns:
    """Return a prediction with these labels and boxes, the most probable first."""
    return {"labels": torch.tensor([label for label, _ in pairs]), "boxes": torch.tensor([box for _, box in pairs])}


def wanted(label: int) -> Columns:
    return {"labels": torch.tensor([label]), "boxes": torch.tensor(TRUTH)}


def test_five_images_by_hand() -> None:
    rest = [(label, FAR) for label in (5, 6, 7)]
    predictions = [
        found((1, EXACT), (2, FAR), (3, FAR), (4, FAR), *rest),  # class and box right
        found((1, THIRD), (2, EXACT), (3, FAR), (4, FAR), *rest),  # class right, IoU 1/3
        found((2, EXACT), (3, FAR), (1, HALF), (4, FAR), *rest),  # class third, IoU exactly 1/2
        found((2, FAR), (3, FAR), (4, FAR), (5, FAR), (6, FAR), (1, EXACT), (7, FAR)),  # class sixth
        found((2, FAR), (1, THIRD), (3, EXACT), (4, FAR), *rest),  # all wrong
    ]
    metric = LocalizationAccuracy()
    metric.update(predictions[:2], [wanted(1)] * 2)
    metric.update(predictions[2:], [wanted(1)] * 3)
    expected = {
        "loc_accuracy": 1 / 5,
        "loc_accuracy_top5": 2 / 5,
        "gt_class_error": 1 - 3 / 5,
        "class_accuracy": 2 / 5,
        "mean_iou": (1 + 1 / 3 + 1 + 0 + 0) / 5,
    }
    assert metric.compute() == pytest.approx(expected, abs=1e-7)
    assert metric.compute()["loc_accuracy"] == 1 / 5
    strict = LocalizationAccuracy(iou_threshold=0.6)
    strict.update(predictions, [wanted(1)] * 5)
    assert strict.compute()["loc_accuracy_top5"] == 1 / 5


def test_without_images_the_result_is_nan_and_a_reset_clears_the_state() -> None:
    metric = LocalizationAccuracy()
    metric.update([found((1, EXACT))], [wanted(1)])
    assert metric.compute()["loc_accuracy"] == 1
    metric.reset()
    metric.update([], [])
    assert all(value != value for value in metric.compute().values())


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (found((1, EXACT)), wanted(2), "not among the labels"),
        (found((1, EXACT), (1, EXACT)), wanted(1), "exactly once"),
        (found((1, [0.0, 0, float("nan"), 1])), wanted(1), "not finite"),
        (found((1, EXACT)), found((1, EXACT), (2, EXACT)), "another number of objects"),
    ],
)
def test_invalid_input_is_rejected(prediction: Columns, target: Columns, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalizationAccuracy().update([prediction], [target])
    with pytest.raises(ValueError, match="1 predictions for 0 targets"):
        LocalizationAccuracy().update([prediction], [])


def random_batch() -> tuple[list[Columns], list[Columns]]:
    generator = torch.Generator().manual_seed(4)
    targets, predictions = [], []
    for _ in range(IMAGES):
        corner = 100 * torch.rand(1, 2, generator=generator)
        box = torch.cat([corner, corner + 20 + 80 * torch.rand(1, 2, generator=generator)], dim=1)
        targets.append({"boxes": box, "labels": torch.randint(1, 3, (1,), generator=generator)})
        boxes = box + 12 * torch.randn(CLASSES, 4, generator=generator)
        boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        predictions.append({"boxes": boxes, "labels": torch.randperm(CLASSES, generator=generator) + 1})
    return predictions, targets


def evaluate(share: list[int]) -> dict[str, float]:
    predictions, targets = random_batch()
    metric = LocalizationAccuracy()
    for index in share:
        metric.update([predictions[index]], [targets[index]])
    return metric.compute()


def test_random_images_agree_with_a_loop() -> None:
    predictions, targets = random_batch()
    top, top5, true_class, named, overlaps = 0, 0, 0, 0, 0.0
    for prediction, target in zip(predictions, targets, strict=True):
        overlap = box_iou(prediction["boxes"], target["boxes"])[:, 0].tolist()
        rank = prediction["labels"].tolist().index(target["labels"].item())
        named += rank == 0
        top += rank == 0 and overlap[0] >= 0.5
        top5 += rank < 5 and overlap[rank] >= 0.5
        true_class += overlap[rank] >= 0.5
        overlaps += overlap[0]
    result = evaluate(list(range(IMAGES)))
    assert 0 < top < top5 < true_class < IMAGES
    shares = [top / IMAGES, top5 / IMAGES, 1 - true_class / IMAGES, named / IMAGES, overlaps / IMAGES]
    assert list(result.values()) == pytest.approx(shares, abs=1e-9)


SHARES = [(list(range(0, IMAGES, 2)), list(range(1, IMAGES, 2))), (list(range(IMAGES)), [])]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)  # other threads do not exist in a forked process
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = [evaluate(shares[rank]) for shares in SHARES]
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_same_digits_as_one(tmp_path: Path) -> None:
    expected = evaluate(list(range(IMAGES)))
    mp.start_processes(work, args=(str(tmp_path),), nprocs=2, start_method="fork")  # avoids a second import of torch
    for rank in range(2):
        for result in pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()):
            assert result == expected
