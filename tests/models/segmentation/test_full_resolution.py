"""FullResolutionFCN: its layers, receptive field, loss and training."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models import FullResolutionFCN

CLASSES = 4


def build(**options: object) -> FullResolutionFCN:
    torch.manual_seed(0)
    return FullResolutionFCN(CLASSES, **{"widths": (8, 16, 8), **options})


def scene(sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(2)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    masks = [torch.randint(0, CLASSES, size, dtype=torch.uint8, generator=generator) for size in sizes]
    return images, [{"mask": mask} for mask in masks]


def test_scores_have_the_resolution_of_the_image() -> None:
    network = build()
    images, targets = scene([(13, 21), (17, 9)])
    output = network.evaluate(images, targets)
    assert output.outputs.shape == (2, CLASSES, 17, 21)
    for image, found, scores in zip(images, output.found, output.outputs, strict=True):
        height, width = image.shape[-2:]
        assert torch.equal(found["mask"], scores[:, :height, :width].argmax(dim=0).to(torch.uint8))


def test_the_layers_are_those_of_the_definition() -> None:
    network = build(dilations=(1, 2, 4))
    pixels = torch.randn(2, 3, 15, 18)
    maps = pixels
    for block, dilation in zip(network.features, (1, 2, 4), strict=True):
        convolution, norm, _ = block
        padded = F.pad(maps, (dilation,) * 4)
        # The definition: a sum over nine shifted copies.
        convolved = sum(
            torch.einsum(
                "oc,bchw->bohw",
                convolution.weight[:, :, row, column],
                padded[:, :, row * dilation : row * dilation + 15, column * dilation : column * dilation + 18],
            )
            for row in range(3)
            for column in range(3)
        )
        groups = convolved.reshape(2, 8, -1)
        normed = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        maps = (normed.view_as(convolved) * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)).clamp(min=0)
    expected = torch.einsum("oc,bchw->bohw", network.classifier.weight[..., 0, 0], maps)
    torch.testing.assert_close(network(pixels), expected + network.classifier.bias.view(-1, 1, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dilations", [None, (1, 2, 4)])
def test_the_receptive_field_grows_by_two_pixels_per_dilation(dilations: tuple[int, ...] | None) -> None:
    network = build(dilations=dilations)
    for block in network.features:
        block[1] = torch.nn.Identity()  # GroupNorm depends on the whole image
    pixels = torch.randn(8, 3, 33, 33, requires_grad=True)
    network(pixels)[..., 16, 16].abs().sum().backward()
    rows, columns = pixels.grad.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
    reach = sum(dilations or (1, 1, 1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16 - reach, 16 + reach, 16 - reach, 16 + reach)


@pytest.mark.parametrize("sizes", [[(13, 21), (17, 9)], [(16, 16)]])
def test_the_loss_is_the_mean_over_labeled_pixels(sizes: list[tuple[int, int]]) -> None:
    network = build()
    images, targets = scene(sizes)
    targets[0]["mask"][3:9] = 255
    scores = network.evaluate(images, targets).outputs
    terms = [
        F.cross_entropy(image_scores[:, row, column], target["mask"][row, column].long())
        for image_scores, target in zip(scores, targets, strict=True)
        for row, column in (target["mask"] != 255).nonzero().tolist()
    ]
    losses = network.losses(images, targets)
    assert tuple(losses) == network.loss_names
    torch.testing.assert_close(losses["cross_entropy"], torch.stack(terms).mean(), rtol=1e-5, atol=1e-6)


def test_void_images_give_loss_zero_and_finite_gradients() -> None:
    network = build()
    images, targets = scene([(12, 12)])
    targets[0]["mask"].fill_(255)
    loss = network.losses(images, targets)["cross_entropy"]
    assert loss == 0
    loss.backward()
    assert all(torch.equal(value.grad, torch.zeros_like(value)) for value in network.parameters())


def test_memory_format_changes_no_score() -> None:
    plain, last = build(), build(channels_last=True)
    last.load_state_dict(plain.state_dict())
    images, _ = scene([(13, 21)])
    assert last.features[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = plain(plain.batch(images).pixels)
        torch.testing.assert_close(last(last.batch(images).pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "at least one"),
        ({"widths": (8, 12)}, "positive multiple of 8"),
        ({"dilations": (1, 2)}, "give 3 of at least 1"),
        ({"dilations": (1, 0, 1)}, "give 3 of at least 1"),
    ],
)
def test_wrong_layers_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)


def train(network: FullResolutionFCN, steps: int) -> list[float]:
    """Train on a brighter and a darker square on noise; return the share of correct pixels."""
    images, targets = scene([(32, 32), (32, 40)])
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        image.div_(8, rounding_mode="floor").add_(100)
        image[:, 8:20, 6:22] = 240 * index
        target["mask"].zero_()[8:20, 6:22] = 1 + index
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = network.losses(images, targets)["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network.predict(images)
    return [(f["mask"] == target["mask"]).float().mean().item() for f, target in zip(found, targets, strict=True)]


@pytest.mark.slow
def test_it_overfits_two_images() -> None:
    assert min(train(build(), 80)) > 0.99


@pytest.mark.slow
def test_two_runs_are_bit_identical() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        networks = [build(), build()]
        for network in networks:
            train(network, 5)
    finally:
        torch.use_deterministic_algorithms(False)
    untrained = build().state_dict()
    for name, value in networks[0].state_dict().items():
        assert torch.equal(value, networks[1].state_dict()[name])
        assert not torch.equal(value, untrained[name])
