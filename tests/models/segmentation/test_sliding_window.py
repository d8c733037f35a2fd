"""Patches, windows and the fully convolutional conversion of SlidingWindowSegmenter."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lit_cv.errors import UserError
from lit_cv.models import SlidingWindowSegmenter
from lit_cv.models.segmentation.sliding_window import sample_labeled
from tests.helpers.scenes import randomize

CLASSES = 5
SIZES = [(37, 51), (44, 31)]


def build(stride: int = 4, **options: object) -> SlidingWindowSegmenter:
    torch.manual_seed(0)
    given = {"widths": (6, 7, 8), "patches_per_image": 16, "patch_batch": 50, **options}
    network = SlidingWindowSegmenter(CLASSES, stride=stride, **given)
    randomize(network)
    return network


def scene(sizes: list[tuple[int, int]] = SIZES) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(2)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    masks = [torch.randint(0, CLASSES, size, dtype=torch.uint8, generator=generator) for size in sizes]
    return images, [{"mask": mask} for mask in masks]


def reference(network: SlidingWindowSegmenter) -> nn.Sequential:
    """Return the patch classifier as a plain sequence of layers with the same weights."""
    first, second, third = network.convolutions
    head = nn.Linear(network.classifier.in_channels, CLASSES)
    head.load_state_dict({"weight": network.classifier.weight[..., 0, 0], "bias": network.classifier.bias})
    pool = nn.MaxPool2d(2)
    return nn.Sequential(first, nn.ReLU(), pool, second, nn.ReLU(), pool, third, nn.ReLU(), nn.Flatten(), head)


def window(pixels: Tensor, row: int, column: int, patch: int) -> Tensor:
    """Cut the patch around a pixel of (3, H, W), zero outside the image, pixel by pixel."""
    cut = torch.zeros(3, patch, patch)
    for y in range(patch):
        for x in range(patch):
            i, j = row - patch // 2 + y, column - patch // 2 + x
            if 0 <= i < pixels.shape[1] and 0 <= j < pixels.shape[2]:
                cut[:, y, x] = pixels[:, i, j]
    return cut


@pytest.mark.parametrize("widths", [(4,), (4, 4), (4, 4, 4), (4, 4, 4, 4)])
def test_the_patch_is_the_receptive_field(widths: tuple[int, ...]) -> None:
    network = build(widths=widths)
    for parameter in network.parameters():  # all positive: a bright pixel anywhere in the patch raises the logits
        parameter.data.abs_()
    last, step = network.patch - 1, 2 ** (len(widths) - 1)
    lit = [(0, 0), (0, last), (last, 0), (last, last), (0, last + 1), (last + 1, 0)]
    pixels = torch.zeros(len(lit) + 1, 3, last + 2, last + 2)
    for image, (row, column) in zip(pixels, lit, strict=False):
        image[:, row, column] = 1000
    with torch.no_grad():
        first = network._classify(pixels, step)[..., 0, 0]
        alone = network._classify(pixels[..., : last + 1, : last + 1], step)
    assert (first > first[-1]).all(dim=1).tolist() == [True] * 4 + [False] * 3
    assert alone.shape[-2:] == (1, 1)
    torch.testing.assert_close(alone.flatten(1), first)


def test_a_patch_of_three_widths_has_32_pixels() -> None:
    assert build().patch == 32


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("stride", [3, 4, 8])
def test_scores_are_those_of_the_patches_around_the_window_centers(stride: int, shared: bool) -> None:
    network = build(stride, shared=shared)
    batch = network.batch(scene()[0])
    assert torch.equal(batch.pixels[0, :, 37:], torch.zeros_like(batch.pixels[0, :, 37:]))
    with torch.no_grad():
        scores = network(batch.pixels)
        grid = -(-44 // stride), -(-51 // stride)
        assert scores.shape == (2, CLASSES, *grid)
        classifier = reference(network)
        for image, i, j in [
            (0, 0, 0),
            (1, grid[0] - 1, grid[1] - 1),
            (0, 2, 3),
            (1, grid[0] - 1, 0),
            (0, 1, grid[1] - 1),
        ]:
            patch = window(batch.pixels[image], i * stride + stride // 2, j * stride + stride // 2, network.patch)
            torch.testing.assert_close(scores[image, :, i, j], classifier(patch[None])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("sizes", [SIZES, [(33, 33)], [(9, 70)]])
def test_shared_computation_gives_the_same_scores(stride: int, sizes: list[tuple[int, int]]) -> None:
    separate, shared = build(stride, shared=False), build(stride, shared=True)
    images, _ = scene(sizes)
    scores, flops = [], []
    for network in (separate, shared):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            scores.append(network(network.batch(images).pixels))
        flops.append(counter.get_total_flops())
    assert scores[0].shape == scores[1].shape
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-5, atol=1e-5)
    assert flops[1] < 0.7 * flops[0]  # shared computation is cheaper


@pytest.mark.parametrize("patch_batch", [1, 7, 10_000])
def test_the_patch_batch_does_not_change_the_scores(patch_batch: int) -> None:
    images, _ = scene()
    expected, network = build(8, shared=False), build(8, shared=False, patch_batch=patch_batch)
    pixels = network.batch(images).pixels
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), expected(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
def test_each_pixel_takes_the_class_of_the_nearest_window(stride: int) -> None:
    network = build(stride)
    images, targets = scene()
    output = network.evaluate(images, targets)
    classes = output.outputs.argmax(dim=1)
    # The centers of the windows in continuous pixel coordinates.
    centers = stride * torch.arange(60) + stride / 2
    for image, (found, (height, width)) in enumerate(zip(output.found, SIZES, strict=True)):
        assert found["mask"].dtype == torch.uint8
        rows, columns = ((torch.arange(n)[:, None] + 0.5 - centers).abs().argmin(dim=1) for n in (height, width))
        assert torch.equal(found["mask"].long(), classes[image][rows[:, None], columns])
    assert all(
        torch.equal(found["mask"], again["mask"])
        for found, again in zip(output.found, network.predict(images), strict=True)
    )


def test_masks_have_the_size_of_the_input_image() -> None:
    network = build(min_size=24)
    images, targets = scene([(48, 72)])
    output = network.evaluate(images, targets)
    assert output.outputs.shape == (1, CLASSES, 6, 9)
    block = output.outputs[0].argmax(dim=0).repeat_interleave(8, dim=0).repeat_interleave(8, dim=1)
    assert torch.equal(output.found[0]["mask"].long(), block)


def test_an_image_has_the_same_mask_alone_and_in_a_batch() -> None:
    network = build()
    images, _ = scene()
    for image, found in zip(images, network.predict(images), strict=True):
        assert torch.equal(network.predict([image])[0]["mask"], found["mask"])


def test_labeled_pixels_are_sampled_uniformly() -> None:
    torch.manual_seed(0)
    masks = torch.full((2, 5, 7), 255, dtype=torch.uint8)
    labeled = [(0, 0), (2, 3), (4, 6)]
    for row, column in labeled:
        masks[0, row, column] = 1
    masks[1, 3, 1] = 0
    image, rows, columns = sample_labeled(masks, 3000)
    assert torch.equal(image, torch.tensor([0, 1]).repeat_interleave(3000))
    counts = torch.zeros(5, 7, dtype=torch.int64).index_put_((rows[:3000], columns[:3000]), torch.tensor(1), True)
    assert counts.sum() == 3000
    # Binomial, p = 1/3: the standard deviation is 26.
    assert all(abs(int(counts[place]) - 1000) < 130 for place in labeled)
    assert sum(int(counts[place]) for place in labeled) == 3000
    assert (rows[3000:] == 3).all()
    assert (columns[3000:] == 1).all()


def test_the_loss_is_the_cross_entropy_of_the_patches_around_labeled_pixels() -> None:
    network = build()
    images, targets = scene()
    for target, (row, column, label) in zip(targets, [(0, 50, 3), (20, 8, 1)], strict=True):
        target["mask"].fill_(255)[row, column] = label
    pixels = network.batch(images).pixels
    patches = torch.stack([window(pixels[0], 0, 50, 32), window(pixels[1], 20, 8, 32)])
    expected = F.cross_entropy(reference(network)(patches), torch.tensor([3, 1]))
    torch.testing.assert_close(network.losses(images, targets)["cross_entropy"], expected, rtol=1e-5, atol=1e-5)
    losses = network.evaluate(images, targets).losses
    torch.testing.assert_close(losses["cross_entropy"], expected, rtol=1e-5, atol=1e-5)
    targets[1]["mask"].fill_(255)  # has no part in the mean
    expected = F.cross_entropy(reference(network)(patches[:1]), torch.tensor([3]))
    torch.testing.assert_close(network.losses(images, targets)["cross_entropy"], expected, rtol=1e-5, atol=1e-5)


def test_a_batch_without_a_labeled_pixel_has_loss_zero_and_finite_gradients() -> None:
    network = build()
    images, targets = scene()
    for target in targets:
        target["mask"].fill_(255)
    loss = network.losses(images, targets)["cross_entropy"]
    assert loss == 0
    loss.backward()
    assert all(torch.equal(value.grad, torch.zeros_like(value)) for value in network.parameters())


def test_memory_format_changes_no_score() -> None:
    plain, last = build(), build(channels_last=True)
    last.load_state_dict(plain.state_dict())
    images, _ = scene()
    assert last.convolutions[1].weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = plain(plain.batch(images).pixels)
        torch.testing.assert_close(last(last.batch(images).pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"widths": ()}, {"stride": 0}, {"patches_per_image": 0}, {"patch_batch": 0}])
def test_numbers_below_one_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="nothing below 1"):
        build(**options)


def train(network: SlidingWindowSegmenter, steps: int) -> list[dict[str, Tensor]]:
    """Train on images with a dark and a bright half and a void line between them; return the targets."""
    images, targets = scene([(40, 40), (40, 48)])
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        bright = torch.arange(image.shape[2]).expand(image.shape[1:]) >= 16 + 8 * index
        image.copy_((image // 8 + 200 * bright).to(torch.uint8))
        target["mask"].copy_(bright * 3)
        target["mask"][:, 14 + 8 * index : 18 + 8 * index] = 255
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = network.losses(images, targets)["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for found, target in zip(network.predict(images), targets, strict=True):
        target["right"] = (found["mask"] == target["mask"])[target["mask"] != 255].float().mean()
    return targets


@pytest.mark.slow
def test_it_overfits_two_images() -> None:
    assert all(target["right"] > 0.99 for target in train(build(2), 80))


@pytest.mark.slow
def test_two_runs_are_bit_identical() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        states = []
        for _ in range(2):
            network = build()
            untrained = copy.deepcopy(network.state_dict())
            torch.manual_seed(4)
            train(network, 5)
            states.append(network.state_dict())
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not any(torch.equal(value, states[0][name]) for name, value in untrained.items())
