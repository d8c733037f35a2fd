"""Networks of timm: maps, weights, norms, pixels, sizes and refusals."""

import copy
import re
import sys
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.timm_networks import PaddedConv2d
from lit_cv.models.backbones.trunk import Trunk, build_trunk
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD
from tests.helpers.scenes import randomize

CHANNELS = {  # of the stages, finest first, from the papers; the last stride is 32
    "resnet18": (64, 64, 128, 256, 512),
    "convnext_tiny": (96, 192, 384, 768),
    "mobilenetv3_large_100": (16, 24, 40, 112, 960),
    "efficientnet_b0": (16, 24, 40, 112, 320),
    "tf_efficientnet_lite0": (16, 24, 40, 112, 320),
    "swin_tiny_patch4_window7_224": (96, 192, 384, 768),
    "regnety_002": (32, 24, 56, 152, 368),
}
WITH_BATCH_NORM = [name for name in CHANNELS if not name.startswith(("convnext", "swin"))]


@pytest.fixture(scope="module", params=CHANNELS)
def trunk(request: pytest.FixtureRequest) -> Trunk:
    return build_trunk(f"timm/{request.param}", None, "train")


def saved(network: nn.Module, folder: Path) -> str:
    torch.save(network.state_dict(), folder / "weights.pth")
    return str(folder / "weights.pth")


def own_pixels(pixels: Tensor, name: str) -> Tensor:
    """Return normalized pixels as timm would normalize them for a network."""
    mean, std, *own = (torch.tensor(row)[:, None, None] for row in (IMAGENET_MEAN, IMAGENET_STD, *timm_pixels(name)))
    return (pixels * std + mean - own[0]) / own[1]


def timm_pixels(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config = timm.get_pretrained_cfg(name)
    return config.mean, config.std


def trained(layers: nn.Module) -> set[str]:
    return {name for name, parameter in layers.named_parameters() if parameter.requires_grad}


def test_stages_are_those_of_the_papers(trunk: Trunk) -> None:
    channels = CHANNELS[trunk.name.removeprefix("timm/")]
    strides = [32 >> level for level in reversed(range(len(channels)))]
    assert [(stage.stride, stage.channels) for stage in trunk.stages] == list(zip(strides, channels, strict=True))


@pytest.mark.parametrize("size", [(64, 96), (75, 91)])
def test_maps_cover_images_of_every_size(trunk: Trunk, size: tuple[int, int]) -> None:
    with torch.no_grad():
        last = trunk.layers(torch.randn(2, 3, *size))
    assert last.shape == (2, trunk.stages[-1].channels, -(-size[0] // 32), -(-size[1] // 32))


def test_all_parameters_and_no_others_are_trained(trunk: Trunk) -> None:
    layers = copy.deepcopy(trunk.layers).eval()
    layers(torch.randn(1, 3, 64, 64)).square().sum().backward()
    assert {name for name, parameter in layers.named_parameters() if parameter.grad is not None} == trained(layers)


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_frozen_norms_are_fixed_and_keep_their_activations(name: str, tmp_path: Path) -> None:
    network = timm.create_model(name).eval()
    randomize(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.mul_(1e-2)  # so small that the constant added to it counts
            layer.weight.data.mul_(0.1)
    layers = build_trunk(f"timm/{name}", saved(network, tmp_path), "frozen").layers
    pixels = torch.randn(2, 3, 64, 96)
    found = layers.train()(pixels)
    torch.testing.assert_close(layers.eval()(pixels), found, rtol=0, atol=0)
    with torch.no_grad():
        expected = network.forward_intermediates(own_pixels(pixels, name), intermediates_only=True)[-1]
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers.modules())
    norms = {f"network.{name}" for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    assert not {name.rpartition(".")[0].removesuffix(".norm") for name, _ in layers.named_parameters()} & norms


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_networks_without_batch_norm_ignore_the_setting(name: str) -> None:
    frozen, free = (trained(build_trunk(f"timm/{name}", None, norm).layers) for norm in ("frozen", "train"))
    assert frozen == free
    assert any("norm" in name for name in frozen)


def test_synchronized_norms_keep_their_activations() -> None:
    layers = build_trunk("timm/efficientnet_b0", None, "train").layers.eval()
    randomize(layers)
    pixels = torch.randn(1, 3, 64, 64)
    expected = layers(pixels)
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(layers)
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in synchronized.modules())
    torch.testing.assert_close(synchronized(pixels), expected)


@pytest.mark.parametrize(("name", "mean"), [("resnet18", IMAGENET_MEAN), ("tf_efficientnet_lite0", (0.5, 0.5, 0.5))])
def test_networks_get_pixels_with_their_own_mean_and_deviation(name: str, mean: tuple[float, ...]) -> None:
    assert timm_pixels(name)[0] == mean
    trunk = build_trunk(f"timm/{name}", None, "frozen")
    seen = []
    first = next(layer for layer in trunk.layers.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    pixels = torch.randn(1, 3, 64, 64)
    trunk.layers(pixels)
    trunk.up_to(16).layers(pixels)
    trunk.up_to(16).layers.taps(trunk.stages[1:3])(pixels)
    for given in seen:
        torch.testing.assert_close(given, own_pixels(pixels, name))


def test_real_weights_give_timms_maps(real_data: Path) -> None:
    for size in (0, 1, 2):
        name = f"tf_efficientnet_lite{size}"
        path = real_data / "weights" / f"{name}_imagenet.pth"
        network = timm.create_model(name).eval()
        network.load_state_dict(torch.load(path, weights_only=True))
        seen = []
        network.conv_head.register_forward_pre_hook(lambda layer, inputs, seen=seen: seen.append(inputs[0]))
        pixels = torch.randn(2, 3, 96, 128)
        layers = build_trunk(f"timm/{name}", str(path), "frozen").layers
        with torch.no_grad():
            network.forward_features(own_pixels(pixels, name))
            torch.testing.assert_close(layers(pixels), seen[0], rtol=1e-5, atol=1e-5 * seen[0].abs().max().item())


def test_classifier_of_any_width_or_none_is_ignored(tmp_path: Path) -> None:
    network = timm.create_model("regnety_002", num_classes=7)
    layers = build_trunk("timm/regnety_002", saved(network, tmp_path), "train").layers
    assert torch.equal(layers.network.s4.b1.conv1.conv.weight, network.s4.b1.conv1.conv.weight)
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("head.")}
    torch.save(state, tmp_path / "headless.pth")
    build_trunk("timm/regnety_002", str(tmp_path / "headless.pth"), "train")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("resnet18").state_dict()
    wrong = {
        "missing": ({key: value for key, value in state.items() if key != "layer1.0.bn1.bias"}, "layer1.0.bn1.bias"),
        "shape": ({**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}, "conv1.weight"),
        "unknown": ({**state, "layer5.weight": torch.zeros(1)}, r"it has no layer5.weight \(1 unknown keys\)"),
        "other": (timm.create_model("regnety_002").state_dict(), "do not fit the backbone"),
    }
    for name, (weights, message) in wrong.items():
        torch.save(weights, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=message):
            build_trunk("timm/resnet18", str(tmp_path / f"{name}.pth"), "frozen")


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "hrnet_w18_small"])
def test_only_the_last_stages_train(name: str) -> None:
    whole = build_trunk(f"timm/{name}", None, "train")
    everything = trained(whole.layers)
    frozen = trained(build_trunk(f"timm/{name}", None, "train").freeze(1).layers)
    assert set() < frozen < everything
    assert not trained(build_trunk(f"timm/{name}", None, "train").freeze(0).layers)
    trunk = build_trunk(f"timm/{name}", None, "train").freeze(1)
    taps = trunk.layers.taps(trunk.stages[-2:]).eval()
    finer, last = taps(torch.randn(1, 3, 64, 64)).values()
    assert not finer.requires_grad
    last.square().sum().backward()
    assert trained(taps) == {name for name, value in taps.named_parameters() if value.grad is not None} == frozen


def test_parallel_branches_train_where_a_map_depends_on_them() -> None:
    trunk = build_trunk("timm/hrnet_w18_small", None, "train")
    last = trained(trunk.layers)
    taps = trunk.layers.taps(trunk.stages).eval()
    assert last <= trained(taps)
    sum(level.square().sum() for level in taps(torch.randn(1, 3, 64, 64)).values()).backward()
    assert trained(taps) == {name for name, value in taps.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "convnext_tiny"])
def test_dilation_keeps_the_resolution(name: str) -> None:
    trunk = build_trunk(f"timm/{name}", None, "frozen", output_stride=16)
    assert trunk.stages[-1].stride == 16
    assert trunk.stages[-1].channels == CHANNELS[name][-1]
    assert trunk.layers(torch.randn(1, 3, 64, 96)).shape[2:] == (4, 6)


def test_layers_after_the_last_used_map_are_left_out() -> None:
    trunk = build_trunk("timm/tf_efficientnet_lite0", None, "frozen")
    assert not any("conv_head" in name or "classifier" in name for name in trunk.layers.state_dict())
    short = trunk.up_to(16)
    assert [stage.stride for stage in short.stages] == [2, 4, 8, 16]
    assert not any("blocks.5" in name for name in short.layers.state_dict())
    assert short.layers(torch.randn(1, 3, 64, 64)).shape == (1, 112, 4, 4)


def test_what_cannot_be_a_backbone_is_refused() -> None:
    cases = {
        "vit_tiny_patch16_224": r"maps at one resolution alone \(stride 16\): choose a network with stages, such as",
        "maxvit_tiny_tf_224": "does not take images of every size: choose another, such as timm/swin_tiny",
        "levit_128s": "does not take images of every size: choose another, such as timm/swin_tiny",
        "resnet5": r"timm cannot build backbone 'timm/resnet5': Unknown model \(resnet5\)",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message) as refused:
            build_trunk(f"timm/{name}", None, "frozen")
        assert f"'timm/{name}'" in str(refused.value)
    with pytest.raises(UserError, match=r"output_stride=8: timm cannot dilate 'timm/swin_tiny.*': give 32"):
        build_trunk("timm/swin_tiny_patch4_window7_224", None, "frozen", output_stride=8)


def test_missing_extra_and_missing_internet_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=re.escape("Cannot download the ImageNet weights of timm/resnet18")):
        build_trunk("timm/resnet18", "imagenet", "frozen")
    with pytest.raises(UserError, match="has no imagenet-features weights"):
        build_trunk("timm/resnet18", "imagenet-features", "frozen")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"needs timm: install lit-cv\[timm\]"):
        build_trunk("timm/resnet18", None, "train")


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (1, 2, 1), (3, 4, 1), (3, 2, 2)])
def test_padding_does_not_depend_on_sizes_that_are_multiples_of_the_stride(
    kernel: int, stride: int, dilation: int
) -> None:
    reference = timm.layers.Conv2dSame(4, 6, kernel, stride, dilation=dilation)
    constant = PaddedConv2d(4, 6, kernel, stride, dilation=dilation)
    constant.load_state_dict(reference.state_dict())
    pixels = torch.randn(2, 4, 12, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(constant(pixels), reference(pixels))


def test_no_padding_is_computed_from_sizes(trunk: Trunk) -> None:
    layers = [type(layer).__name__ for layer in trunk.layers.modules()]
    assert layers.count("PaddedConv2d") == (5 if trunk.name == "timm/tf_efficientnet_lite0" else 0)
    assert "Conv2dSame" not in layers
