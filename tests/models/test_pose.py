import copy

import pytest
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models import PoseNet

JOINTS = 4
SIZES = [(70, 90), (64, 64), (90, 60)]


def pose_net(**options: object) -> PoseNet:
    torch.manual_seed(0)
    defaults = {"backbone": "tiny", "size": 64, "pool": 2, "head_features": 16}
    return PoseNet(JOINTS, **{**defaults, **options})


def scene() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(1)
    images, targets = [], []
    for height, width in SIZES:
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator))
        points = torch.rand(1, JOINTS, 2, generator=generator) * torch.tensor([width, height])
        flags = torch.tensor([2.0, 1, 0, 2]).view(1, JOINTS, 1)
        targets.append({"keypoints": torch.cat([points, flags], dim=2)})
    targets[0]["keypoints"][0, 2] = torch.tensor([torch.nan, -1e30, 0])  # unlabeled joints may have any values
    return images, targets


@pytest.mark.parametrize("loss", ["l2", "l1", "smooth_l1"])
def test_losses_follow_their_formula_over_the_labeled_joints(loss: str) -> None:
    network = pose_net(loss=loss, beta=0.3)
    torch.nn.init.normal_(network.head[-1].weight)
    images, targets = scene()
    predicted = network.predict(images)
    terms = []
    for pose, target, (height, width) in zip(predicted, targets, SIZES, strict=True):
        for found, (x, y, flag) in zip(pose["keypoints"][0].tolist(), target["keypoints"][0].tolist(), strict=True):
            if flag:
                d = torch.tensor([(found[0] - x) / width, (found[1] - y) / height]).abs()
                terms.append(
                    {
                        "l2": (d**2).sum(),
                        "l1": d.sum(),
                        "smooth_l1": torch.where(d < 0.3, d**2 / 0.6, d - 0.15).sum(),
                    }[loss]
                )
    assert len(terms) == 9
    losses = network.losses(images, targets)
    assert tuple(losses) == network.loss_names == ("joints",)
    assert losses["joints"].item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-4)


def test_gradients_reach_every_parameter_and_no_label_gives_zero() -> None:
    network = pose_net()
    images, targets = scene()
    network.losses(images, targets)["joints"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())
    network.zero_grad()
    for target in targets:
        target["keypoints"][..., 2] = 0
    loss = network.losses(images, targets)["joints"]
    assert loss.item() == 0
    loss.backward()
    assert not any(p.grad.any() for p in network.parameters())


def test_predictions_are_in_pixels_of_the_input_image() -> None:
    network = pose_net()
    with torch.no_grad():
        network.head[-1].bias.copy_(torch.tensor([-0.5, -0.5, 0.5, 0.5, 0, 0, 0.25, -0.25]))
        network.head[-1].weight.zero_()
    large = torch.zeros(3, 80, 200, dtype=torch.uint8)
    found = network.predict([large])[0]["keypoints"]
    assert found.dtype == torch.float32
    # The edges of the image, its center, and a point in between, relative to the center of the first pixel.
    assert found.tolist() == [[[-0.5, -0.5], [199.5, 79.5], [99.5, 39.5], [149.5, 19.5]]]


def test_an_enlarged_image_gives_enlarged_joints() -> None:
    network = pose_net()
    torch.nn.init.normal_(network.head[-1].weight, std=0.3)
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    enlarged = image.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)  # resizing halves it to the same image
    small, large = (network.predict([given])[0]["keypoints"] for given in (image, enlarged))
    assert torch.allclose((small + 0.5) * 2, large + 0.5, atol=1e-4)


def test_evaluation_is_one_pass_with_the_same_results() -> None:
    network = pose_net(backbone="mobilenet_v3_small", pool=1, norm="train", dropout=0.5).train()
    images, targets = scene()
    state = copy.deepcopy(network.state_dict())
    passes = []
    network.backbone.register_forward_hook(lambda *_: passes.append(1))
    output = network.evaluate(images, targets)
    assert len(passes) == 1
    assert network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    found = network.predict(images)
    assert all(torch.equal(a["keypoints"], b["keypoints"]) for a, b in zip(output.found, found, strict=True))
    assert torch.equal(output.losses["joints"], network.eval().losses(images, targets)["joints"])


def test_training_is_deterministic() -> None:
    def trained() -> dict[str, Tensor]:
        network = pose_net(dropout=0.3, head_features=[16, 8], channels_last=True)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            network.losses(*scene())["joints"].backward()
            optimizer.step()
        return network.state_dict()

    torch.use_deterministic_algorithms(True)
    try:
        first, second = trained(), trained()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"size=70, .* must be a multiple of 16 x 2"):
        pose_net(size=70)
    with pytest.raises(UserError, match=r"size=64, pool=3: .* a multiple of 16 x 3 = 48"):
        pose_net(pool=3)
    network = pose_net(backbone="resnet18", size=224, pool=7, head_features=[], trainable_layers=1)
    assert [tuple(p.shape) for p in network.head.parameters()] == [(8, 512 * 49), (8,)]
    assert not any(p.requires_grad for p in network.backbone[0].parameters())
