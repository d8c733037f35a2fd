"""Compares predictions of a network with those of its exported files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_cv.ops.mask_runs import decode_masks
from lit_cv.ops.objects import masks_of

PIXELS, SCORE, LOGIT = 0.01, 1e-4, 1e-2
SWAPPED = 1e-3  # share of the pixels of a mask whose class two almost equal values decide
ELSEWHERE = 0.02  # share of the joints read from a map with two almost equal maxima


def dense(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a prediction of `predict` with dense masks, as exported networks have them."""
    columns = {name: column for name, column in found.items() if not name.startswith("mask_")}
    return {**columns, "masks": decode_masks(masks_of(found))} if "mask_runs" in found else columns


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, float]:
    """Match the objects of two predictions of one image, and return the largest differences of the matched ones.

    Objects of almost equal scores may have another order, so that each is matched with the nearest one of its class.
    Only the last ones may lack a partner: those as good as the worst one that was kept.

    Raises:
        AssertionError: The outputs have other names, types or sizes, or another object has no partner of its own.
    """
    found = {name: torch.as_tensor(np.asarray(column)) for name, column in found.items()}
    expected = dense(expected)
    assert {name: (column.shape[1:], column.dtype) for name, column in found.items()} == {
        name: (column.shape[1:], column.dtype) for name, column in expected.items()
    }
    if len(expected.get("boxes", ())) and len(found["boxes"]):
        apart = (found["boxes"] - expected["boxes"][:, None]).abs().amax(dim=-1)
        apart += (found["scores"] - expected["scores"][:, None]).abs()
        apart += 1e4 * (found["labels"] != expected["labels"][:, None])
        least, partner = apart.min(dim=1)
        rows, partner = (least < 1).nonzero()[:, 0], partner[least < 1]
        for column, matched in ((expected["scores"], rows), (found["scores"], partner)):
            alone = torch.ones_like(column, dtype=torch.bool).index_fill(0, matched, False)
            assert (column[alone] <= column.min() + SCORE).all(), f"objects without a partner: {column[alone]}"
        assert len(partner) == len(partner.unique())
        expected = {name: column[rows] for name, column in expected.items()}
        found = {name: column[partner] for name, column in found.items()}
    assert {name: column.shape for name, column in found.items()} == {
        name: column.shape for name, column in expected.items()
    }
    apart = {}
    for name, column in found.items():
        if not column.numel():
            continue
        difference = (column.double() - expected[name].double()).abs()
        if name in ("mask", "masks"):
            apart[name] = float((difference > 0).double().mean())
        elif name == "keypoints" and column.shape[-1] == 3:
            apart["elsewhere"] = float((difference[..., :2].amax(-1) > PIXELS).double().mean())
            apart["logits"] = float(difference[..., 2].max())
        else:
            apart[name] = float(difference.max())
    return apart


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check that two predictions of one image agree: boxes and joints, scores, and the pixels of masks."""
    apart = differences(found, expected)
    bounds = {"boxes": PIXELS, "keypoints": PIXELS, "logits": LOGIT, "scores": SCORE, "labels": 0}
    bounds |= {"mask": SWAPPED, "masks": SWAPPED, "elsewhere": ELSEWHERE}
    worse = {name: value for name, value in apart.items() if value > bounds[name]}
    assert not worse, f"larger differences than {bounds}: {worse}"
