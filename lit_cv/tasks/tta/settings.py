"""The settings of test-time augmentation, and the networks that they fit."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from lit_cv.errors import UserError
from lit_cv.models.detection.detector import Detector
from lit_cv.models.localization import LocalizationNet
from lit_cv.models.network import Network
from lit_cv.models.pose import PoseNet
from lit_cv.models.rcnn.densecap import DenseCap
from lit_cv.models.resizing import FittedImages
from lit_cv.models.segmentation.components import ComponentFCN
from lit_cv.models.segmentation.segmenter import Segmenter
from lit_cv.ops.limits import above_zero


class View(NamedTuple):
    """One of the ways in which a network sees an image.

    Attributes:
        scale: Factor of the size to which the network resizes images.
        flipped: Whether the image is mirrored from left to right.
    """

    scale: float
    flipped: bool


@dataclass(frozen=True)
class TTA:
    """Settings of test-time augmentation. Losses of the evaluation are those without it.

    Attributes:
        flip: Whether each image is also seen mirrored from left to right.
        scales: Factors of the size to which the network resizes images in eval mode; 1 is that size.
    """

    flip: bool = True
    scales: Sequence[float] = field(default_factory=lambda: [1.0])

    def views(self) -> Iterator[View]:
        """Yield all views: each scale, and with ``flip`` also mirrored."""
        for scale in self.scales:
            yield from (View(scale, flipped) for flipped in ((False, True) if self.flip else (False,)))

    def __str__(self) -> str:
        """Return the settings in words."""
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        return f"{'mirrored, ' if self.flip else ''}scales {scales}"


def fitting_tta(network: Network, tta: TTA | None) -> TTA | None:
    """Return test-time augmentation after a check that the predictions of a network can be merged; None for none.

    Raises:
        UserError: They cannot, the network takes images of one size only, or a scale makes no sense.
    """
    if tta is None:
        return None
    above_zero(**{"tta.scales": tta.scales})
    name = type(network).__name__
    if not tta.scales:
        raise UserError("tta.scales is an empty list; give factors such as [0.75, 1.0, 1.25], or leave it out.")
    if isinstance(network, DenseCap):
        raise UserError("model.tta: DenseCap's phrases say left and right and cannot be averaged; leave tta out.")
    if isinstance(network, ComponentFCN):
        raise UserError("model.tta: ComponentFCN has no NMS that would merge its components; leave tta out.")
    if not isinstance(network, Detector | Segmenter | PoseNet | LocalizationNet):
        raise UserError(f"model.tta: it is not known how to merge the predictions of {name}; leave tta out.")
    if list(tta.scales) != [1.0] and not isinstance(network, FittedImages):
        raise UserError(f"model.tta.scales: {name} takes images of one size only; leave scales out, flip works.")
    return tta


def tta_record(task: object) -> dict[str, Any]:
    """Return the settings of a task's test-time augmentation under ``tta``, for the record of its numbers."""
    tta = getattr(task, "tta", None)
    return {} if tta is None else {"tta": asdict(tta)}
