"""Selection of rows of a target and removal of crowds."""

import torch

from lit_cv.ops.mask_runs import decode_masks, encode_masks
from lit_cv.ops.objects import masks_of, rows_of, without_crowds


def test_crowds_are_removed_from_all_columns() -> None:
    masks = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    runs = encode_masks(masks)
    target = {
        "boxes": torch.arange(12.0).view(3, 4),
        "iscrowd": torch.tensor([0, 1, 0]),
        "phrases": ["a", "b", "c"],
        "proposals": torch.zeros(3, 4),
        "image_id": torch.tensor(7),
        "mask_runs": runs.runs,
        "mask_lengths": runs.lengths,
        "mask_size": torch.tensor([5, 4]),
    }
    kept = without_crowds(target)
    assert torch.equal(kept["boxes"], target["boxes"][[0, 2]])
    assert kept["phrases"] == ["a", "c"]
    assert len(kept["proposals"]) == 3
    assert kept["image_id"] == 7
    assert torch.equal(decode_masks(masks_of(kept)), masks[[0, 2]].to(torch.uint8))
    assert list(kept) == list(target)
    without = {"boxes": target["boxes"], "iscrowd": torch.zeros(3, dtype=torch.int64)}
    assert without_crowds(without) == without
    assert without_crowds({"boxes": target["boxes"]})["boxes"] is target["boxes"]


def test_rows_keep_their_order() -> None:
    taken = rows_of({"scores": torch.tensor([0.1, 0.2, 0.3])}, torch.tensor([2, 0]))
    assert taken["scores"].tolist() == torch.tensor([0.3, 0.1]).tolist()
