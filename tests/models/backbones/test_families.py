"""The table of backbones: stages of every name, and torchvision's state dicts."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.inception import InceptionB, InceptionD

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import FAMILIES, NAMES
from lit_cv.models.backbones.trunk import build_trunk
from tests.helpers.scenes import randomize

# Channels of the stages, finest first, from the tables of the papers and of torchvision's builders.
VGG = (64, 128, 256, 512, 512)
BOTTLENECKS = (64, 256, 512, 1024, 2048)
CHANNELS = {
    **{f"vgg{depth}{norm}": VGG for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    **dict.fromkeys(("resnet18", "resnet34"), (64, 64, 128, 256, 512)),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"), BOTTLENECKS),
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"), BOTTLENECKS),
    "mobilenet_v2": (16, 24, 32, 96, 1280),
    "mobilenet_v3_small": (16, 16, 24, 48, 576),
    "mobilenet_v3_large": (16, 24, 40, 112, 960),
    "squeezenet1_0": (96, 256, 512, 512),
    "squeezenet1_1": (64, 128, 256, 512),
    "alexnet": (64, 192, 256),
    "googlenet": (64, 192, 480, 832, 1024),
    "tiny": (32, 64, 128, 128),
    "tiny_vgg": (16, 32, 64, 96, 128),
    **dict.fromkeys(("yolo", "yolo_bn"), (64, 192, 512, 1024, 1024)),
    **dict.fromkeys(("fast_yolo", "fast_yolo_bn"), (16, 32, 64, 128, 256, 512, 512)),
    **dict.fromkeys(("convnext_tiny", "convnext_small"), (96, 192, 384, 768)),
    "convnext_base": (128, 256, 512, 1024),
    "convnext_large": (192, 384, 768, 1536),
    **dict.fromkeys(("efficientnet_b0", "efficientnet_b1"), (16, 24, 40, 112, 1280)),
    "efficientnet_b2": (16, 24, 48, 120, 1408),
    "efficientnet_b3": (24, 32, 48, 136, 1536),
    "efficientnet_b4": (24, 32, 56, 160, 1792),
    "efficientnet_b5": (24, 40, 64, 176, 2048),
    "efficientnet_b6": (32, 40, 72, 200, 2304),
    "efficientnet_b7": (32, 48, 80, 224, 2560),
    "efficientnet_v2_s": (24, 48, 64, 160, 1280),
    "efficientnet_v2_m": (24, 48, 80, 176, 1280),
    "efficientnet_v2_l": (32, 64, 96, 224, 1280),
    "regnet_y_400mf": (32, 48, 104, 208, 440),
    "regnet_y_800mf": (32, 64, 144, 320, 784),
    "regnet_y_1_6gf": (32, 48, 120, 336, 888),
    "regnet_y_3_2gf": (32, 72, 216, 576, 1512),
    "regnet_y_8gf": (32, 224, 448, 896, 2016),
    "regnet_y_16gf": (32, 224, 448, 1232, 3024),
    "regnet_y_32gf": (32, 232, 696, 1392, 3712),
    "regnet_x_400mf": (32, 32, 64, 160, 400),
    "regnet_x_800mf": (32, 64, 128, 288, 672),
    "regnet_x_1_6gf": (32, 72, 168, 408, 912),
    "regnet_x_3_2gf": (32, 96, 192, 432, 1008),
    "regnet_x_8gf": (32, 80, 240, 720, 1920),
    "regnet_x_16gf": (32, 256, 512, 896, 2048),
    "regnet_x_32gf": (32, 336, 672, 1344, 2520),
    "densenet121": (64, 256, 512, 1024, 1024),
    "densenet161": (96, 384, 768, 2112, 2208),
    "densenet169": (64, 256, 512, 1280, 1664),
    "densenet201": (64, 256, 512, 1792, 1920),
    "inception_v3": (64, 192, 288, 768, 2048),
    **dict.fromkeys(("swin_t", "swin_s", "swin_v2_t", "swin_v2_s"), (96, 192, 384, 768)),
    **dict.fromkeys(("swin_b", "swin_v2_b"), (128, 256, 512, 1024)),
}
FINEST = {1: ("vgg", "tiny_vgg", "fast_yolo"), 4: ("alexnet", "convnext", "swin")}  # 2 elsewhere
ORDINARY = (  # one of each family, and small siblings
    *("vgg16", "vgg16_bn", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *("squeezenet1_0", "squeezenet1_1", "alexnet", "googlenet", "tiny", "tiny_vgg", "yolo", "fast_yolo_bn"),
    *("convnext_tiny", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_v2_s"),
    *("regnet_y_400mf", "regnet_x_400mf", "densenet121", "inception_v3", "swin_t", "swin_v2_t"),
)
OPTIONS = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}  # of torchvision's constructor


def test_every_name_is_tested() -> None:
    assert set(CHANNELS) == set(NAMES)
    assert set(ORDINARY) <= set(NAMES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ORDINARY else pytest.mark.long) for name in NAMES]
)
def test_stages_have_their_strides_and_channels_and_take_torchvisions_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = "imagenet" in FAMILIES[name].published
    # Without memory or computation; but a RegNet computes its widths with tensors.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        if published:
            assert "IMAGENET1K_V1" in torchvision.models.get_model_weights(name).__members__
            state = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {})).state_dict()
            monkeypatch.setattr("lit_cv.models.backbones.trunk.read_weights", lambda *_: state)
        stages = build_trunk(name, "imagenet" if published else None, "frozen").stages
    finest = next((stride for stride, names in FINEST.items() if name.startswith(names)), 2)
    expected = [(finest * 2**level, channels) for level, channels in enumerate(CHANNELS[name])]
    assert [(stage.stride, stage.channels) for stage in stages] == expected


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("convnext_tiny", "features.7.2.block.5.weight"),
        ("regnet_y_400mf", "trunk_output.block4.block4-0.proj.0.weight"),
        ("densenet121", "features.denseblock4.denselayer9.conv2.weight"),
        ("inception_v3", "Mixed_7c.branch_pool.bn.running_var"),
        ("swin_t", "features.7.1.mlp.3.bias"),
    ],
)
def test_weights_without_a_layer_are_refused(name: str, missing: str, tmp_path: Path) -> None:
    state = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {})).state_dict()
    del state[missing]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=f"1 parameters are missing or of another shape, first {missing}"):
        build_trunk(name, str(tmp_path / "weights.pth"), "frozen")


def randomized(name: str) -> nn.Module:
    """Return torchvision's network, in which each norm's own constant matters."""
    network = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {})).eval()
    randomize(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.mul_(1e-2)
            layer.weight.data.mul_(0.1)
    return network


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("convnext_tiny", "avgpool"),
        ("efficientnet_b0", "avgpool"),
        ("regnet_y_400mf", "avgpool"),
        ("regnet_x_400mf", "avgpool"),
        ("swin_t", "avgpool"),
        ("swin_v2_t", "avgpool"),
        ("densenet121", "features"),
    ],
)
def test_last_map_is_that_of_torchvisions_network(name: str, before: str, tmp_path: Path) -> None:
    network = randomized(name)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    seen = []
    if before == "avgpool":
        network.avgpool.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    else:
        network.features.register_forward_hook(lambda layer, inputs, output: seen.append(output.relu()))
    pixels = torch.randn(1, 3, 64, 96)
    trunk = build_trunk(name, str(tmp_path / "weights.pth"), "frozen")
    with torch.no_grad():
        network(pixels)
        found = trunk.layers.eval()(pixels)
    assert seen[0].abs().max() > 1e-3
    torch.testing.assert_close(found, seen[0], rtol=1e-4, atol=1e-4 * seen[0].abs().max().item())


def test_published_densenets_have_old_keys(tmp_path: Path) -> None:
    network = torchvision.models.densenet121(weights=None)
    old = {}
    for key, value in network.state_dict().items():
        for part in ("norm", "conv"):
            for place in "12":
                if "denselayer" in key:
                    key = key.replace(f".{part}{place}.", f".{part}.{place}.")
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "weights.pth")
    layers = build_trunk("densenet121", str(tmp_path / "weights.pth"), "train").layers
    expected = network.features.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in layers.state_dict().items())


@pytest.mark.parametrize("size", [(320, 320), (300, 300), (299, 227)])
def test_inception_has_a_cell_for_every_part_of_the_image(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        trunk = build_trunk("inception_v3", None, "train")
        maps = trunk.layers.taps(trunk.stages)(torch.zeros(1, 3, *size)).values()
    for stage, level in zip(trunk.stages, maps, strict=True):
        assert level.shape[2:] == tuple(-(-side // stage.stride) for side in size)


@pytest.mark.parametrize(("name", "kind", "channels"), [("Mixed_6a", InceptionB, 288), ("Mixed_7a", InceptionD, 768)])
def test_padding_changes_only_the_border_of_inceptions_maps(name: str, kind: type[nn.Module], channels: int) -> None:
    layer = build_trunk("inception_v3", None, "train").layers.get_submodule(name).eval()
    plain = kind(channels).eval()
    plain.load_state_dict(layer.state_dict())
    pixels = torch.randn(1, channels, 21, 25)
    with torch.no_grad():
        found, expected = layer(pixels), plain(pixels[..., 1:, 1:])
    assert found.shape[2:] == (11, 13)
    assert expected.shape[2:] == (9, 11)
    torch.testing.assert_close(found[..., 4:-4, 4:-4], expected[..., 3:-3, 3:-3])


def test_inception_takes_normalized_pixels() -> None:
    layers = build_trunk("inception_v3", None, "frozen").layers
    seen = []
    layers.Conv2d_1a_3x3.conv.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    mean, std = (torch.tensor(row)[:, None, None] for row in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    image = torch.rand(1, 3, 64, 64)
    layers((image - mean) / std)
    torch.testing.assert_close(seen[0], 2 * image - 1)
