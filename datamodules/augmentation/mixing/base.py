"""The base of all mixings, and the order in which several of them change a sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator

from datamodules.augmentation.ssd_transforms import Image
from datamodules.boxes.packed_boxes import Objects
from lit_cv.errors import UserError
from lit_cv.ops.limits import fractions


class Scene(NamedTuple):
    """An image and its objects.

    Attributes:
        image: uint8 (H, W, 3).
        objects: The N objects: ``boxes`` float32 (N, 4), ``area``, ``iscrowd``, ..., see :meth:`PackedBoxes.objects`;
            optionally ``keypoints`` float32 (N, K, 3), (0, 0) the center of the first pixel, and ``masks``, uint8
            (N, H, W) or :class:`MaskRuns`.
    """

    image: Image
    objects: Objects


Another = Callable[[], Scene]
"""Returns another sample of the split, which the random stream of the mixed sample chooses."""


class Mixing(ABC):
    """Makes one training sample of several.

    Args:
        p: Probability of mixing, in [0, 1].
        visible: Objects of which a smaller share of the box (or of the mask, where another object covers it) stays
            visible are dropped, in [0, 1]. Those without any visible part always are.

    Attributes:
        needs_masks: Whether objects must have masks.
    """

    needs_masks: ClassVar[bool] = False

    def __init__(self, p: float, visible: float) -> None:
        fractions(p=p, visible=visible)
        self.p, self.visible = p, visible

    @abstractmethod
    def __call__(self, scene: Scene, another: Another, rng: Generator) -> Scene:
        """Return the mixed sample.

        Args:
            scene: The sample to change; it stays as it is.
            another: Returns further samples.
            rng: The random stream of the sample.
        """


def mix(mixings: Sequence[Mixing], scene: Scene, another: Another, rng: Generator) -> Scene:
    """Apply mixings in order.

    A mixing gets other samples as those before it leave them: after ``[ScaleJitter, CopyPaste]`` objects of one
    jittered image lie on another one.

    Args:
        mixings: Applied in order, each with its own probability.
        scene: The sample.
        another: Returns a plain sample of the split.
        rng: The random stream of the sample.
    """
    for number, mixing in enumerate(mixings):
        if rng.random() < mixing.p:
            scene = mixing(scene, partial(_mixed, mixings[:number], another, rng), rng)
    return scene


def _mixed(mixings: Sequence[Mixing], another: Another, rng: Generator) -> Scene:
    return mix(mixings, another(), another, rng)


def joined(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several parts of one image, in order."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def refuse_unfit_mixing(mixings: Sequence[Mixing], masks: bool, proposals: bool) -> None:
    """Check the setting ``data.mixing``.

    Args:
        mixings: The mixings.
        masks: Whether the objects of the data have masks.
        proposals: Whether targets contain proposals.

    Raises:
        UserError: One of them needs masks that the data lacks, or there are proposals, which are of single images.
    """
    if mixings and proposals:
        raise UserError("data.mixing and data.proposals exclude each other: proposals are of single images; keep one.")
    for mixing in mixings:
        if mixing.needs_masks and not masks:
            raise UserError(
                f"data.mixing has {type(mixing).__name__}, which needs the masks of objects, and targets of this data "
                "have none: take it out, or choose a DataModule with masks."
            )
