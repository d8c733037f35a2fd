"""Random images, targets and weights for the tests of the networks."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lit_cv.models import Detector, Network
from lit_cv.models.rcnn.proposals import propose
from lit_cv.ops import boxes as ops
from lit_cv.tasks.initial_weights.initial import InitialWeights

CLASSES = 5


def scene(objects: list[int], sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return random images, and targets with boxes, phrases, and proposals around the boxes and elsewhere."""
    generator = torch.Generator().manual_seed(3)
    images, targets = [], []
    for count, (height, width) in zip(objects, sizes, strict=True):
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator))
        corners = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values * torch.tensor([width, height])
        corners[:, 1] += 2
        labels = torch.randint(1, CLASSES, (count,), generator=generator)
        boxes = corners.flatten(1)
        size = torch.tensor([width, height, width, height])
        around = (boxes.repeat(4, 1) + 4 * torch.randn(4 * count, 4, generator=generator)).clamp(min=0).minimum(size)
        elsewhere = torch.rand(30, 2, 2, generator=generator).sort(dim=1).values.flatten(1) * size
        proposals = torch.cat((around, elsewhere))
        proposals = proposals[(proposals[:, 2:] - proposals[:, :2] > 1).all(dim=1)]
        tokens = torch.arange(3 * count).view(count, 3) % 5 + 4
        targets.append({"boxes": boxes, "labels": labels, "proposals": proposals, "tokens": tokens})
    return images, targets


def one_square() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return four dark images, each with one square of one of two colors."""
    images, targets = [], []
    for index, (left, top, side) in enumerate([(10, 20, 40), (50, 30, 36), (30, 50, 44), (12, 44, 48)]):
        image = torch.full((3, 96, 96), 20, dtype=torch.uint8)
        image[:, top : top + side, left : left + side] = 240
        image[index % 2, top : top + side, left : left + side] = 40
        images.append(image)
        boxes = torch.tensor([[left, top, left + side, top + side]], dtype=torch.float32)
        targets.append({"boxes": boxes, "labels": torch.tensor([1 + index % 2]), "proposals": propose(image)})
    return images, targets


def overfit(
    network: Network,
    images: list[Tensor],
    targets: list[dict[str, Tensor]],
    steps: int,
    check: Callable[[], None],
    weights: Mapping[str, float] | None = None,
) -> None:
    """Train on the same images until ``check`` finds nothing wrong; it is called every 20 steps.

    Raises:
        AssertionError: of ``check``, after ``steps``.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    weights = dict.fromkeys(network.loss_names, 1.0) | dict(weights or {})
    for step in range(1, steps + 1):
        loss = sum(weights[name] * value for name, value in network.losses(images, targets).items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == steps:
            check()
        elif step % 20 == 0:
            with contextlib.suppress(AssertionError, IndexError):  # IndexError: nothing is found yet
                check()
                return


def as_peer_images(images: list[Tensor]) -> list[Tensor]:
    """Return the images as torchvision's detectors expect them."""
    return [image.float() / 255 for image in images]


def randomize(module: nn.Module) -> None:
    """Set all parameters and statistics to random values that keep the scale of activations."""
    generator = torch.Generator().manual_seed(5)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            value.uniform_(-0.1, 0.1, generator=generator)
        elif value.dim() == 1 and value.is_floating_point():
            value.uniform_(0.4, 0.8, generator=generator)
        elif value.dim() > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)


def load_from_peer(ours: Network, theirs: nn.Module) -> None:
    """Load the weights of torchvision's network from a file, as ``initial_weights`` does; all of them must fit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.pth"
        torch.save(theirs.state_dict(), path)
        initial = InitialWeights(str(path))
        initial.load_into(ours, [], ours.num_classes)
    assert initial.record is not None
    assert (initial.record["share"], initial.record["fresh"], initial.record["unused"]) == (1, [], [])


def first_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make our samplers and torchvision's samplers choose the first candidates."""
    monkeypatch.setattr(torch, "randperm", lambda n, **options: torch.arange(n, **options))
    monkeypatch.setattr(ops, "random_keys", lambda like: torch.linspace(0.99, 0, like.shape[1]).expand(like.shape))


def assert_losses_of_peer(ours: Detector, theirs: nn.Module, losses: dict[str, Tensor], expected: list[Tensor]) -> None:
    """Compare losses, in the order of ours, and the gradients of all parameters with those of torchvision's network."""
    assert tuple(losses) == ours.loss_names
    for value, wanted in zip(losses.values(), expected, strict=True):
        assert wanted > 0
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-5)
    ours.zero_grad()
    theirs.zero_grad()
    sum(losses.values()).backward()
    sum(expected).backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        if not parameter.requires_grad:
            continue
        assert (parameter.grad - gradients[name].grad).norm() <= 1e-2 * gradients[name].grad.norm() + 1e-8, name


def assert_detections_of_peer(ours: Detector, theirs: nn.Module) -> None:
    """Compare the detections in two images with those of torchvision's network."""
    images, _ = scene([0, 0], [(96, 128), (150, 110)])
    with torch.no_grad():
        expected = theirs.eval()(as_peer_images(images))
    for found, wanted in zip(ours.predict(images), expected, strict=True):
        assert len(wanted["boxes"]) > 10
        assert torch.equal(found["labels"], wanted["labels"])
        torch.testing.assert_close(found["scores"], wanted["scores"], rtol=0, atol=5e-5)
        torch.testing.assert_close(found["boxes"], wanted["boxes"], rtol=0, atol=1e-3)
