"""Recall of proposals, by hand."""

import math

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.metrics import ProposalRecall

Columns = dict[str, torch.Tensor]
FAR, WHOLE, MOST, HALF = [500.0, 500, 600, 600], [0.0, 0, 10, 10], [0.0, 0, 10, 8], [0.0, 0, 10, 5]  # IoU 1, 0.8, 0.5


def found(*boxes: list[float], reverse: bool = False) -> Columns:
    scores = torch.arange(len(boxes), 0, -1).float()
    rows = torch.tensor(boxes).reshape(-1, 4)
    found = {"boxes": rows, "scores": scores, "labels": torch.ones(len(boxes), dtype=torch.int64)}
    return {name: column.flip(0) for name, column in found.items()} if reverse else found


def wanted(image_id: int, *boxes: list[float], **flags: list[bool]) -> Columns:
    labels = torch.arange(len(boxes)) + 1
    columns = {name: torch.tensor(flag) for name, flag in flags.items()}
    return {
        "image_id": torch.tensor(image_id),
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": labels,
        **columns,
    }


def test_an_object_counts_from_the_first_box_that_covers_it() -> None:
    other = [100.0, 100, 110, 110]
    metric = ProposalRecall()
    metric.update([found(*[FAR] * 9, HALF, MOST, reverse=True)], [wanted(0, WHOLE)])  # tenth and eleventh
    metric.update([found(*[FAR] * 99, other, WHOLE)], [wanted(1, WHOLE, other)])  # 101st and 100th
    metric.update([found()], [wanted(2, WHOLE)])
    recall = metric.compute()
    expected = {"recall_50": [1, 1, 2, 3, 3, 3], "recall_70": [0, 1, 2, 3, 3, 3]}
    for name, counts in expected.items():
        values = [recall[f"{name}_at_{limit}"] for limit in (10, 30, 100, 300, 1000, 2000)]
        assert values == [count / 4 for count in counts]
    assert set(recall) == set(ProposalRecall.FACTS)


def test_difficult_objects_crowds_and_other_parts_do_not_count() -> None:
    metric = ProposalRecall(part=1, parts=3)
    metric.update(
        [found(WHOLE)], [wanted(4, WHOLE, FAR, FAR, difficult=[False, True, False], iscrowd=[False, False, True])]
    )
    metric.update([found()] * 2, [wanted(3, WHOLE), wanted(5, WHOLE)])
    assert metric.compute()["recall_70_at_10"] == 1
    metric.reset()
    metric.update([found(WHOLE)], [wanted(4)])
    assert math.isnan(metric.compute()["recall_50_at_10"])
    with pytest.raises(UserError, match="part=3 of parts=3"):
        ProposalRecall(part=3, parts=3)
