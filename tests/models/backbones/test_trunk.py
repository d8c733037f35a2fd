"""Backbones: every family, their stages, weights, norms and memory formats."""

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.chain import Chain
from lit_cv.models.backbones.classifier_ends import with_end
from lit_cv.models.backbones.family import Family
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm
from lit_cv.models.backbones.necks import feature_pyramid, single_map
from lit_cv.models.backbones.trunk import Trunk, build_trunk
from tests.helpers.scenes import randomize

FAMILIES = {
    "vgg11": [1, 2, 4, 8, 16],
    "vgg11_bn": [1, 2, 4, 8, 16],
    "resnet18": [2, 4, 8, 16, 32],
    "mobilenet_v2": [2, 4, 8, 16, 32],
    "mobilenet_v3_small": [2, 4, 8, 16, 32],
    "squeezenet1_0": [2, 4, 8, 16],
    "squeezenet1_1": [2, 4, 8, 16],
    "alexnet": [4, 8, 16],
    "googlenet": [2, 4, 8, 16, 32],
    "tiny": [2, 4, 8, 16],
    "tiny_vgg": [1, 2, 4, 8, 16],
}


@pytest.fixture(scope="module", params=FAMILIES)
def trunk(request: pytest.FixtureRequest) -> Trunk:
    return build_trunk(request.param, None, "frozen")


def test_stages_cover_all_layers_at_their_strides(trunk: Trunk) -> None:
    assert [stage.stride for stage in trunk.stages] == FAMILIES[trunk.name]
    names = [name for stage in trunk.stages for name in stage.layers]
    assert names == [name for name, _ in trunk.layers.named_children()]


def test_single_map_has_stride_16(trunk: Trunk) -> None:
    backbone, channels, count = single_map(trunk, None)
    maps = backbone(torch.zeros(1, 3, 96, 320))
    assert [tuple(level.shape) for level in maps.values()] == [(1, channels, 6, 20)] * count


def test_pyramid_has_one_width_and_falling_sizes(trunk: Trunk) -> None:
    backbone, channels, count = feature_pyramid(trunk, None, channels=32)
    maps = backbone(torch.zeros(1, 3, 64, 64))
    assert [level.shape[1] for level in maps.values()] == [channels] * count
    sizes = [level.shape[-1] for level in maps.values()]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("stride", "strides"), [(16, [2, 4, 8, 16]), (8, [2, 4, 8])])
def test_dilation_keeps_the_weights_and_halves_less_often(stride: int, strides: list[int]) -> None:
    plain, dilated = build_trunk("resnet50", None, "train"), build_trunk("resnet50", None, "train", stride)
    assert [stage.stride for stage in dilated.stages] == strides
    dilated.layers.load_state_dict(plain.layers.state_dict(), strict=True)
    assert dilated.layers(torch.zeros(2, 3, 64, 96)).shape == (2, 2048, 64 // stride, 96 // stride)


def test_googlenet_takes_normalized_pixels_and_torchvisions_weights(tmp_path: Path) -> None:
    network = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False, transform_input=True)
    randomize(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.mul_(1e-2)  # so small that the constant added to it counts
            layer.weight.data.mul_(0.1)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    trunk = build_trunk("googlenet", str(tmp_path / "weights.pth"), "frozen")
    seen = []
    network.inception5b.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    pixels = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        network.eval()(pixels)
        torch.testing.assert_close(trunk.layers(pixels), seen[0], rtol=1e-4, atol=1e-4)


def test_alexnet_and_its_end_take_torchvisions_weights(tmp_path: Path) -> None:
    network = torchvision.models.alexnet(weights=None).eval()
    whole, features = str(tmp_path / "whole.pth"), str(tmp_path / "features.pth")
    torch.save(network.state_dict(), whole)
    torch.save(network.features.state_dict(prefix="features."), features)
    trunk = with_end(build_trunk("alexnet", features, "train"), whole, 0.0)
    expected = network.features.state_dict()
    assert all(torch.equal(expected[key], value) for key, value in trunk.layers.state_dict().items() if key in expected)
    pooled = torch.randn(1, 256, 6, 6)
    fc7 = network.classifier[:6](pooled.flatten(1))
    torch.testing.assert_close(trunk.layers.fc(pooled)[:, :, 0, 0], fc7, rtol=1e-4, atol=1e-4)
    assert trunk.layers(torch.zeros(1, 3, 64, 96)).shape == (1, 4096, 2, 3)
    with pytest.raises(UserError, match=r"4 parameters are missing .* first classifier.1.weight"):
        with_end(build_trunk("alexnet", features, "train"), features, None)


@pytest.mark.parametrize("trainable", [0, 1, 3])
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_only_the_last_stages_train(name: str, trainable: int) -> None:
    trunk = build_trunk(name, None, "train").freeze(trainable)
    for place, stage in enumerate(reversed(trunk.stages)):
        for layer in stage.layers:
            for parameter in trunk.layers.get_submodule(layer).parameters():
                assert parameter.requires_grad == (place < trainable), layer


def test_too_many_stages_are_refused() -> None:
    with pytest.raises(UserError, match="tiny has 4 stages here; give 0 to 4"):
        build_trunk("tiny", None, "train").freeze(9)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vgg11_bn"])
def test_folded_norm_is_batch_norm_with_fixed_statistics(name: str) -> None:
    folded = build_trunk(name, None, "train").layers
    randomize(folded)
    plain = copy.deepcopy(folded).eval()
    for layer in plain.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-5
    freeze_batch_norm(folded)
    folded.train()
    pixels = torch.randn(2, 3, 64, 64)
    result, expected = folded(pixels), plain(pixels)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    result.square().mean().backward()
    expected.square().mean().backward()
    gradients = {name: value.grad for name, value in plain.named_parameters()}
    trained = dict(folded.named_parameters())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert {id(value) for value in trained.values()}.isdisjoint(map(id, folded.buffers()))
    for key, value in trained.items():
        error = (value.grad - gradients[key]).norm() / gradients[key].norm()
        assert error < 1e-2, key


def test_folded_norm_follows_its_state_dict_and_trains_after_inference() -> None:
    layers = build_trunk("resnet18", None, "frozen").layers
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = layers(pixels)
    randomize(layers)
    after = layers(pixels)
    assert not torch.allclose(before, after)
    after.mean().backward()
    assert all(parameter.grad is not None for parameter in layers.parameters())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "tiny"])
def test_channels_last_gives_the_same_values(name: str) -> None:
    layers = build_trunk(name, None, "frozen").layers
    randomize(layers)
    pixels = torch.randn(2, 3, 64, 64)
    expected = layers(pixels)
    result = layers.to(memory_format=torch.channels_last)(pixels.to(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_local_weights_of_a_whole_network_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = torchvision.models.squeezenet1_1(weights=None)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    monkeypatch.setenv("LITCV_TEST_DATA", str(tmp_path))
    torch.save(network.state_dict(), tmp_path / "squeezenet1_1.pth")
    expected = network.features.state_dict()
    for path in (str(tmp_path / "weights.pth"), "$LITCV_TEST_DATA/{backbone}.pth"):
        layers = build_trunk("squeezenet1_1", path, "frozen").layers
        assert all(torch.equal(value, expected[key]) for key, value in layers.state_dict().items())


def test_real_squeezenet_weights_load(real_data: Path) -> None:
    path = real_data / "weights" / "squeezenet1_0_imagenet.pth"
    layers = build_trunk("squeezenet1_0", str(path), "frozen").layers
    assert torch.equal(layers[0].weight, torch.load(path, weights_only=True)["features.0.weight"])


def test_weights_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("not a state dict")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "other.pth")
    cases = {
        "none.pth": "none.pth not found: give the path",
        "text.pth": "cannot be read as a PyTorch state dict",
        "list.pth": "hold no state dict",
        "other.pth": "of another shape, first 0.0.weight, 0.1.weight, 0.1.bias",
    }
    for file, message in cases.items():
        with pytest.raises(UserError, match=message):
            build_trunk("tiny", str(tmp_path / file), "frozen")


def test_unknown_names_are_answered_with_close_ones() -> None:
    with pytest.raises(UserError, match="Unknown backbone 'resnet5': did you mean resnet"):
        build_trunk("resnet5", None, "frozen")
    with pytest.raises(UserError, match="'tiny' has no imagenet weights"):
        build_trunk("tiny", "imagenet", "frozen")


@pytest.mark.parametrize(("output_stride", "dilations"), [(16, {"layer4": 2}), (8, {"layer3": 2, "layer4": 4})])
def test_the_last_stages_are_dilated_first(output_stride: int, dilations: dict[str, int]) -> None:
    trunk = build_trunk("resnet50", None, "train", output_stride)
    assert trunk.stages[-1].stride == output_stride
    found = {name: trunk.layers.get_submodule(name)[1].conv2.dilation[0] for name in ("layer2", "layer3", "layer4")}
    assert {name: dilation for name, dilation in found.items() if dilation > 1} == dilations


POOLED = Family(lambda _: Chain(nn.Conv2d(3, 8, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), published=())
SEQUENTIAL = Family(lambda _: nn.Sequential(nn.Conv2d(3, 8, 3)), published=())  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("POOLED", r"Layer '2' of the backbone returns \(1, 8\) and no map"),
        ("SEQUENTIAL", "its `layers` returns a Sequential"),
    ],
)
def test_a_family_without_maps_is_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_trunk(f"{__name__}.{name}", weights=None, norm="frozen")


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "timm/resnet18"])
def test_weights_of_a_whole_detector_are_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "detector.pth"
    keys = ("backbone.body.conv1.weight", "rpn.head.cls_logits.weight", "roi_heads.box_head.fc6.weight")
    torch.save({key: torch.zeros(1) for key in keys}, file)
    with pytest.raises(
        UserError, match=r"detector\.pth are those of a whole network \(backbone, rpn, roi_heads\), but"
    ):
        build_trunk(name, str(file), "frozen")
