"""The table of backbones: each name, and its family."""

import difflib
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.chain import Chain
from lit_cv.models.backbones.darknet import fast_yolo_layers, yolo_layers
from lit_cv.models.backbones.family import Family, FullyConnected
from lit_cv.models.backbones.networks import (
    VGG_LAYOUTS,
    alexnet_layers,
    densenet_key,
    densenet_layers,
    dilated_resnet_layers,
    feature_layers,
    googlenet_layers,
    regnet_key,
    regnet_layers,
    resnet_layers,
    squeezenet_layers,
    swin_key,
    swin_layers,
    tiny_layers,
    tiny_vgg_layers,
    vgg_layers,
)
from lit_cv.models.backbones.padded_inception import inception_layers
from lit_cv.models.backbones.timm_networks import TIMM, timm_layers, timm_weights


def _darknet(build: Callable[[bool], nn.Sequential]) -> Callable[[str], Chain]:
    return lambda name: Chain(*build(name.endswith("_bn")))


VGG_BN = Family(
    vgg_layers,
    prefix="features.",
    ends=("convolutions",),
    fully_connected=FullyConnected(cells=7, pool=2, places=(0, 3), dropout_first=False),
)
VGG = replace(VGG_BN, ends=("convolutions", "windows", "regions"))
RESNET = Family(resnet_layers, ends=("regions",), last_stage="layer4")
BOTTLENECK_RESNET = replace(RESNET, dilated=dilated_resnet_layers)
MOBILENET = Family(feature_layers, prefix="features.", inner_level=True)
SQUEEZENET = Family(squeezenet_layers, prefix="features.")
ALEXNET = Family(
    alexnet_layers,
    prefix="features.",
    ends=("convolutions", "windows"),
    fully_connected=FullyConnected(cells=6, pool=3, places=(1, 4), dropout_first=True),
)
GOOGLENET = Family(
    googlenet_layers,
    frozen_eps=1e-3,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    ends=("convolutions",),
    dropout=0.2,
)
YOLO = Family(_darknet(yolo_layers), published=())
FAST_YOLO = Family(_darknet(fast_yolo_layers), published=(), yolo_convolutions=3)

# Later families: a frozen norm keeps its own constant.
FEATURE_NETWORK = Family(feature_layers, prefix="features.", frozen_eps=None)
REGNET = Family(regnet_layers, prefix="trunk_output.", renamed=regnet_key, frozen_eps=None)
DENSENET = Family(densenet_layers, prefix="features.", renamed=densenet_key, frozen_eps=None)
INCEPTION = Family(inception_layers, frozen_eps=None, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SWIN = Family(swin_layers, prefix="features.", renamed=swin_key)
TIMM_NETWORK = Family(timm_layers, dilated=timm_layers, download=timm_weights, frozen_eps=None)

REGNET_FLOPS = ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(VGG_LAYOUTS, VGG),
    "vgg16": replace(VGG, published=("imagenet", "imagenet-features")),
    **dict.fromkeys((f"{name}_bn" for name in VGG_LAYOUTS), VGG_BN),
    **dict.fromkeys(("resnet18", "resnet34"), RESNET),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"), BOTTLENECK_RESNET),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), BOTTLENECK_RESNET),
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"), MOBILENET),
    **dict.fromkeys(("squeezenet1_0", "squeezenet1_1"), SQUEEZENET),
    "alexnet": ALEXNET,
    "googlenet": GOOGLENET,
    "tiny": Family(tiny_layers, published=()),
    "tiny_vgg": Family(tiny_vgg_layers, published=()),
    "yolo": YOLO,
    "fast_yolo": FAST_YOLO,
    "yolo_bn": YOLO,
    "fast_yolo_bn": FAST_YOLO,
    **dict.fromkeys((f"convnext_{size}" for size in ("tiny", "small", "base", "large")), FEATURE_NETWORK),
    **dict.fromkeys((f"efficientnet_b{size}" for size in range(8)), FEATURE_NETWORK),
    **dict.fromkeys((f"efficientnet_v2_{size}" for size in "sml"), FEATURE_NETWORK),
    **dict.fromkeys((f"regnet_{kind}_{flops}" for kind in "xy" for flops in REGNET_FLOPS), REGNET),
    **dict.fromkeys((f"densenet{depth}" for depth in (121, 161, 169, 201)), DENSENET),
    "inception_v3": INCEPTION,
    **dict.fromkeys((f"swin_{version}{size}" for version in ("", "v2_") for size in "tsb"), SWIN),
}
NAMES = tuple(FAMILIES)


def family_of(name: str) -> Family:
    """Look up the family of a backbone: a name of the table, ``timm/<name>``, or the path of your own ``Family``.

    Raises:
        UserError: Unknown name.
    """
    if name.startswith(TIMM):
        return TIMM_NETWORK
    if name not in FAMILIES:
        if "." in name:
            return _own_family(name)
        close = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}" if close else f"choose from {', '.join(NAMES)}"
        raise UserError(f"Unknown backbone {name!r}: {hint}, or timm/<name>?")
    return FAMILIES[name]


def _own_family(path: str) -> Family:
    module, _, attribute = path.rpartition(".")
    try:
        family = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"Backbone {path!r} cannot be imported: {error}.") from None
    if not isinstance(family, Family):
        raise UserError(f"Backbone {path!r} is no lit_cv.models.backbones.family.Family: give the path of one.")
    return family
