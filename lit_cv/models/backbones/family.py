"""A family of backbones: the properties that classification networks of one structure share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torchvision
from torch import Tensor

from lit_cv.models.backbones.frozen_norm import FROZEN_EPS
from lit_cv.models.backbones.stages import Layers
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD

End = Literal["convolutions", "windows", "regions"]
PUBLISHED = {"imagenet": "IMAGENET1K_V1", "imagenet-features": "IMAGENET1K_FEATURES"}


def torchvision_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Return weights that torchvision publishes, one of ``PUBLISHED``, from torch.hub's cache or its server."""
    published = torchvision.models.get_model_weights(name)[PUBLISHED[weights]]
    return dict(published.get_state_dict(progress=False))


@dataclass(frozen=True)
class FullyConnected:
    """fc6 and fc7, with dropout around them.

    Attributes:
        cells: Height and width of the map that fc6 reads.
        pool: Side of the windows of pool5, which has stride 2.
        places: Indices of fc6 and fc7 in the classifier.
        dropout_first: Whether dropout comes before each of the two layers, and not after it.
    """

    cells: int
    pool: int
    places: tuple[int, int]
    dropout_first: bool


@dataclass(frozen=True)
class Family:
    """One row of the table of backbones.

    Attributes:
        layers: Builds the layers of a network from its name, with random weights and without the classifier.
        dilated: Builds them for an output stride of 16 or 8; None: not possible.
        prefix: Beginning of the layers' keys in the state dict of the network.
        renamed: Maps a key of a state dict to one that begins with ``prefix``, where some do not, or to its name in
            today's torchvision.
        published: The weights that are published.
        download: Returns published weights, given the name of the network and the kind of weights.
        frozen_eps: Constant that frozen norms add to the variance; None: the one that each norm has.
        mean: Mean of the pixels that the published weights expect, per channel, for pixels in [0, 1].
        std: Standard deviation of these pixels.
        inner_level: Whether a feature pyramid also reads the first layer of the last stage, as in torchvision's
            detectors.
        ends: The places where the network's own last layers can be used: as ``convolutions`` (``with_end``), on
            ``windows`` (``WindowHead``), on ``regions`` (``backbone_head``).
        fully_connected: These last layers, if they are fc6 and fc7.
        last_stage: Their name, if they are a stage of the network.
        dropout: Probability of the dropout in ``convolutions``.
        yolo_convolutions: Number of convolutions that YOLO adds by default.
    """

    layers: Callable[[str], Layers]
    dilated: Callable[[str, int], Layers] | None = None
    prefix: str = ""
    renamed: Callable[[str], str] = str
    published: tuple[str, ...] = ("imagenet",)
    download: Callable[[str, str], dict[str, Tensor]] = torchvision_weights
    frozen_eps: float | None = FROZEN_EPS
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    inner_level: bool = False
    ends: tuple[End, ...] = ()
    fully_connected: FullyConnected | None = None
    last_stage: str | None = None
    dropout: float = 0.5
    yolo_convolutions: int = 4
