"""Random images, targets and weights, shared by the tests of the detectors."""

import torch
from torch import Tensor, nn

CLASSES = 5


def scene(objects: list[int], sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return random images, boxes (a number for each image) and proposals around them and elsewhere."""
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
        targets.append({"boxes": boxes, "labels": labels, "proposals": proposals})
    return images, targets


def as_peer_images(images: list[Tensor]) -> list[Tensor]:
    """Return the images as torchvision's detectors expect them."""
    return [image.float() / 255 for image in images]


def randomise(module: nn.Module) -> None:
    """Give every parameter and statistic values under which activations keep their size."""
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
