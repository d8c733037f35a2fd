"""The four sources of proposals: which boxes they give, in which order, and what is trained."""

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.models import FasterRCNN, Proposer
from lit_cv.models.detection.sliding_window import slide_windows
from tests.helpers.scenes import CLASSES, scene

SIZES = [(96, 128), (110, 150)]
SETTINGS = {"backbone": "tiny", "min_size": 96, "max_size": 128}


def proposer(source: str, **options: object) -> Proposer:
    torch.manual_seed(0)
    return Proposer(CLASSES, source=source, **{**SETTINGS, **options})


def test_given_boxes_are_kept_in_their_order_up_to_the_limit() -> None:
    images, _ = scene([2, 3], SIZES)
    given = [torch.rand(5, 4), torch.rand(2, 4)]
    found = proposer("selective_search", proposals_test=3).predict(images, given)
    assert [part["boxes"].tolist() for part in found] == [given[0][:3].tolist(), given[1].tolist()]
    assert found[0]["scores"].tolist() == pytest.approx([1, 2 / 3, 1 / 3])


def test_windows_are_a_random_choice_of_those_of_the_sliding_window() -> None:
    images, _ = scene([2], SIZES[:1])
    network = proposer("sliding_windows", proposals_test=50)
    boxes = network.predict(images)[0]["boxes"]
    windows = slide_windows(SIZES[0], *network.windows)
    assert len(windows) > 100
    rows = {tuple(row) for row in boxes.tolist()}
    assert len(rows) == 50
    assert rows <= {tuple(row) for row in windows.tolist()}
    torch.manual_seed(1)
    assert not torch.equal(network.predict(images)[0]["boxes"], boxes)


def test_random_boxes_lie_between_two_uniform_points() -> None:
    images, _ = scene([2], SIZES[1:])
    boxes = proposer("random", proposals_test=20_000).predict(images)[0]["boxes"] / torch.tensor([150, 110, 150, 110])
    assert boxes.shape == (20_000, 4)
    # The smaller and the larger of two uniform numbers have means of 1/3 and 2/3.
    assert torch.allclose(boxes.mean(dim=0), torch.tensor([1, 1, 2, 2]) / 3, atol=0.01)
    assert (boxes[:, 2:] >= boxes[:, :2]).all()


def test_only_the_rpn_learns_and_it_is_that_of_faster_rcnn() -> None:
    images, targets = scene([2, 3], SIZES)
    faster = FasterRCNN(CLASSES, neck="c4", rpn_pre_nms_test=40, rpn_post_nms_test=20, **SETTINGS)
    network = proposer("rpn", rpn_pre_nms_test=40, proposals_test=20)
    network.backbone.load_state_dict(faster.backbone.state_dict())
    network.rpn.load_state_dict(faster.rpn.state_dict())
    losses = []
    for other in (network, faster):
        torch.manual_seed(3)
        losses.append(other.losses(images, targets))
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in network.loss_names)
    batch = faster.batch(images)
    wanted = faster._propose(batch, faster._maps(batch.pixels))
    for found, boxes, scale in zip(network.predict(images), wanted, batch.scales(), strict=True):
        assert torch.allclose(found["boxes"], boxes / scale, atol=1e-4)
    untrained = proposer("random")
    sum(untrained.losses(images, targets).values()).backward()
    assert all(part.grad is not None and not part.grad.any() for part in untrained.parameters())


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(UserError, match="source='edge_boxes': there is no such source; choose from selective_search"):
        proposer("edge_boxes")
