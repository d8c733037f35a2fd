"""Networks of every type of parameters: the losses and predictions of half and double precision are those of single."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lit_cv.models import DenseCap, Network
from tests.models.backbones.test_in_networks import NETWORKS, targets

BACKBONES = {"FCN": "resnet18", "Faster R-CNN, end": "resnet18", "YOLO": "resnet18"}  # the others: tiny
TOLERANCES = {torch.float64: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.03}


def build(name: str) -> Network:
    torch.manual_seed(0)
    if name == "DenseCap":
        return DenseCap(12, backbone="tiny", min_size=64, max_size=96, roi_batch=16, rpn_post_nms_test=10)
    return NETWORKS[name](BACKBONES.get(name, "tiny"))


def cases() -> Iterator[Any]:
    for name in (*NETWORKS, "DenseCap"):
        for precision in TOLERANCES:
            short = precision is torch.bfloat16 or name in ("Mask R-CNN", "DenseCap", "R-CNN")
            yield pytest.param(name, precision, marks=[] if short else pytest.mark.long)


@pytest.mark.parametrize(("name", "precision"), list(cases()))
def test_losses_and_predictions_need_no_autocast(name: str, precision: torch.dtype) -> None:
    images, wanted = targets()
    losses: list[dict[str, Any]] = []
    for kind in (torch.float32, precision):
        network = build(name).to(kind)
        torch.manual_seed(1)
        losses.append(network.losses(images, wanted))
        found = network.predict(images)
        assert len(found) == len(images)
    if precision is not torch.float16:  # whose gradients of convolutions take half a minute on a CPU
        torch.stack(list(losses[1].values())).sum().backward()
    for single, other in zip(losses[0].values(), losses[1].values(), strict=True):
        assert torch.allclose(single, other.to(single.dtype), rtol=TOLERANCES[precision], atol=TOLERANCES[precision])
    assert all(loss.dtype in (torch.float32, torch.float64) for loss in losses[1].values())
