"""Whole networks that torchvision publishes: their names, their parameters' names, their classes."""

import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath
from urllib.parse import urlparse

from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights

from lit_cv.errors import UserError, did_you_mean, nearest

BACKGROUND = "__background__"
UNUSED = "N/A"  # in torchvision's lists, the name of labels without a class


# COCO's names of classes of VOC that are not the same but for spaces.
SYNONYMS = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tvmonitor"}
# Names of the networks, and the constant that torchvision adds to the variance in the frozen norms if it builds a
# network with these weights; None: the one of its other frozen norms.
NETWORKS: dict[str, float | None] = {
    "fasterrcnn_resnet50_fpn": 0.0,
    "fasterrcnn_mobilenet_v3_large_fpn": None,
    "fasterrcnn_mobilenet_v3_large_320_fpn": None,
    "maskrcnn_resnet50_fpn": 0.0,
    "keypointrcnn_resnet50_fpn": 0.0,
    "retinanet_resnet50_fpn": 0.0,
    "fcos_resnet50_fpn": None,
    "ssd300_vgg16": None,
    "fcn_resnet50": None,
    "fcn_resnet101": None,
}


def _doubled(match: re.Match[str]) -> str:
    """Number the convolutions of RetinaNet's heads without the activations between them."""
    return f"{match[1]}.{int(match[2]) // 2}.0.{match[3]}"


Rule = tuple[str, str | Callable[[re.Match[str]], str]]
# Names in torchvision's published files, or in networks of the other kind, and today's names. A rule counts only for
# a name that the network does not have, and only if the new name is one of the network.
RULES: tuple[Rule, ...] = (
    (r"^(rpn\.head\.conv)\.(\w+)$", r"\1.0.0.\2"),
    (r"^(.*fpn\.(?:inner|layer)_blocks\.\d+)\.(\w+)$", r"\1.0.\2"),
    (r"^(roi_heads\.mask_head)\.mask_fcn(\d+)\.(\w+)$", lambda match: f"{match[1]}.{int(match[2]) - 1}.0.{match[3]}"),
    (r"^(head\.\w+_head\.conv)\.(\d+)\.(\w+)$", _doubled),
    (r"^backbone\.(?!body\.)(.+)$", r"backbone.body.\1"),  # from a segmenter to a detector
    (r"^backbone\.body\.(.+)$", r"backbone.\1"),
)


def renamed(name: str, own: Collection[str]) -> str:
    """Return the name that a parameter of a file has in a network.

    Args:
        name: Its name in the file.
        own: Names of the network.
    """
    if name in own:
        return name
    names = (re.sub(pattern, new, name) for pattern, new in RULES)
    return next((found for found in names if found in own), name)


def refuse_unknown(name: str) -> None:
    """Check that weights of a network of torchvision can be loaded.

    Raises:
        UserError: No network here has its parameters.
    """
    if name not in NETWORKS:
        hint = did_you_mean(name, NETWORKS) or f"; choose from {', '.join(nearest(name, NETWORKS))}."
        raise UserError(f"model.initial_weights: torchvision:{name} has no counterpart here{hint}")


def weights_of(name: str) -> WeightsEnum:
    """Return the published weights of one of ``NETWORKS``."""
    weights: WeightsEnum = get_model_weights(name).DEFAULT
    return weights


def download(name: str) -> dict[str, Tensor]:
    """Read the weights of one of ``NETWORKS`` from torch.hub's cache, or download them to it first.

    Raises:
        OSError: They cannot be downloaded.
    """
    return dict(weights_of(name).get_state_dict(progress=False, check_hash=True, weights_only=True))


def published_as(file_name: str) -> str | None:
    """Return the network whose weights torchvision publishes under a file name, or None."""
    return next((name for name in NETWORKS if file_name_of(name) == file_name), None)


def file_name_of(name: str) -> str:
    """Return the name of the published file of one of ``NETWORKS``."""
    return PurePosixPath(urlparse(weights_of(name).url).path).name


def classes_of(name: str) -> list[str]:
    """Return the names of the labels of one of ``NETWORKS``, the background first."""
    return [BACKGROUND, *weights_of(name).meta["categories"][1:]]
