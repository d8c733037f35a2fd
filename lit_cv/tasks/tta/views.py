"""Predict once for each view of the images, and return the predictions to the pixels of the images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lit_cv.models.network import Network
from lit_cv.models.rcnn.proposals import ProposalDetector, propose
from lit_cv.models.resizing import FittedImages
from lit_cv.tasks.tta.settings import View


@contextmanager
def resized(network: Network, scale: float) -> Iterator[None]:
    """Multiply the size to which a network resizes images, inside a ``with`` block."""
    if not isinstance(network, FittedImages):
        yield
        return
    network.eval_scale = scale
    try:
        yield
    finally:
        network.eval_scale = 1.0


def shown(images: Sequence[Tensor], view: View) -> list[Tensor]:
    """Return the images (3, H, W) as a view shows them, before the network resizes them."""
    return [image.flip(-1) if view.flipped else image for image in images]


def found_in_view(network: Network, images: Sequence[Tensor], given: Sequence[Tensor] | None, view: View) -> list[Any]:
    """Return the predictions for a view, in its pixels.

    Args:
        network: The network.
        images: uint8 (3, H, W) each.
        given: Proposals (P, 4) of each image for networks that take them; None computes them.
        view: The view.
    """
    seen = shown(images, view)
    with resized(network, view.scale):
        if not isinstance(network, ProposalDetector):
            return network.predict(seen)
        proposals = [propose(image) for image in images] if given is None else given
        if view.flipped:
            proposals = [mirror_boxes(boxes, image.shape[-1]) for boxes, image in zip(proposals, images, strict=True)]
        return network.predict(seen, list(proposals))


def mirror_boxes(boxes: Tensor, width: int) -> Tensor:
    """Mirror boxes (..., 4) in an image of this width."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), dim=-1)


def mirror_joints(joints: Tensor, width: float, pairs: Sequence[Sequence[int]]) -> Tensor:
    """Mirror joints and exchange right and left ones.

    Args:
        joints: (..., K, 2 or more), x in pixels first.
        width: Sum of the x of a point and of its mirror image.
        pairs: (right, left) joints.
    """
    order = list(range(joints.shape[-2]))
    for right, left in pairs:
        order[right], order[left] = left, right
    mirrored = joints[..., order, :].clone()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
