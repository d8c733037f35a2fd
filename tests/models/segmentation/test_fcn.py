"""FCN against torchvision's on the same weights, all decoders and upsamplings, and the comparability of arms."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.segmentation import fcn_resnet50

from lit_cv.errors import UserError
from lit_cv.models import FCN
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD
from lit_cv.models.segmentation.segmenter import VOID
from lit_cv.ops.upsampling import bilinear
from tests.helpers.scenes import load_from_peer, randomize

CLASSES = 4
UPSAMPLINGS = ("nearest", "bilinear", "bed_of_nails", "max_unpool", "transposed")
ARMS = {
    **{f"symmetric_{name}": {"decoder": "symmetric", "upsampling": name} for name in UPSAMPLINGS},
    "symmetric_mean": {"decoder": "symmetric", "upsampling_overlap": "mean"},
    "symmetric_narrow": {"decoder": "symmetric", "upsampling": "max_unpool", "decoder_width": 8, "skips": 8},
    **{f"score_{name}": {"upsampling": name} for name in ("nearest", "bilinear", "transposed")},
    "score_learned": {"learned_upsampling": True, "upsampling_kernel": 3, "upsampling_stride": 2},
}
ODD = [(70, 91), (33, 50)]


def fcn(**options: object) -> FCN:
    torch.manual_seed(0)
    return FCN(CLASSES, **{"backbone": "tiny_vgg", "skips": 8, **options})


def scene(sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(2)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    masks = [torch.randint(0, CLASSES, size, dtype=torch.uint8, generator=generator) for size in sizes]
    for mask in masks:
        mask[:5] = VOID
    return images, [{"mask": mask} for mask in masks]


@pytest.fixture(params=ARMS)
def network(request: pytest.FixtureRequest) -> FCN:
    return fcn(**ARMS[request.param])


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def gradients(network: FCN, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    network.zero_grad()
    network.losses(images, targets)["cross_entropy"].backward()
    return {name: value.grad.clone() for name, value in network.named_parameters() if value.requires_grad}


@pytest.mark.usefixtures("deterministic")
def test_every_arm_trains_every_parameter_bit_identically(network: FCN) -> None:
    images, targets = scene(ODD)
    first, second = (gradients(network, images, targets) for _ in range(2))
    for name, gradient in first.items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name
        assert torch.equal(gradient, second[name]), name


def test_evaluation_is_losses_and_predictions_in_eval_mode(network: FCN) -> None:
    images, targets = scene(ODD)
    network.eval()
    losses, found = network.losses(images, targets), network.predict(images)
    network.train()
    output = network.evaluate(images, targets)
    assert network.training
    torch.testing.assert_close(output.losses["cross_entropy"], losses["cross_entropy"])
    assert output.outputs.shape == (2, CLASSES, 80, 96)
    for image, prediction, evaluated in zip(images, found, output.found, strict=True):
        assert prediction["mask"].dtype == torch.uint8
        assert prediction["mask"].shape == image.shape[-2:]
        assert torch.equal(prediction["mask"], evaluated["mask"])


def test_a_batch_of_void_gives_no_gradient(network: FCN) -> None:
    images, targets = scene(ODD)
    for target in targets:
        target["mask"].fill_(VOID)
    assert network.losses(images, targets)["cross_entropy"] == 0
    assert all(gradient.abs().sum() == 0 for gradient in gradients(network, images, targets).values())


@pytest.mark.parametrize("arm", ["symmetric_transposed", "symmetric_bed_of_nails", "score_learned"])
def test_memory_format_changes_no_result(arm: str) -> None:
    images, targets = scene(ODD)
    plain, last = fcn(**ARMS[arm]), fcn(**ARMS[arm], channels_last=True)
    last.load_state_dict(plain.state_dict())
    expected = gradients(plain, images, targets)
    for name, gradient in gradients(last, images, targets).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5)


def test_symmetric_arms_start_from_the_same_weights() -> None:
    states = [fcn(decoder="symmetric", upsampling=name).state_dict() for name in UPSAMPLINGS]
    added = {f"decoder.enlarge.{level}.weight" for level in range(4)}
    for state in states:
        assert state.keys() - states[0].keys() == (added if state is states[-1] else set())
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


@pytest.fixture(scope="module")
def resnets() -> tuple[FCN, torch.nn.Module]:
    """Return our FCN-ResNet-50 and torchvision's with one state dict, loaded strictly."""
    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=False)
    randomize(theirs)
    ours = FCN(
        CLASSES, backbone="resnet50", output_stride=8, head="conv", upsampling="bilinear", norm="train", dropout=0.0
    )
    load_from_peer(ours, theirs)
    theirs.classifier[3].p = 0.0
    return ours, theirs


@pytest.mark.parametrize("train", [True, False])
def test_resnet50_is_torchvisions(resnets: tuple[FCN, torch.nn.Module], train: bool) -> None:
    ours, theirs = (copy.deepcopy(network).train(train) for network in resnets)
    images, targets = scene([(64, 96)] * 2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    logits = theirs((torch.stack(images) / 255 - mean) / std)["out"]
    masks = torch.stack([target["mask"] for target in targets]).long()
    expected = F.cross_entropy(logits, masks, ignore_index=VOID)
    torch.testing.assert_close(ours.losses(images, targets)["cross_entropy"], expected, rtol=1e-4, atol=1e-4)
    if train:
        return
    output = ours.evaluate(images, targets)
    torch.testing.assert_close(output.outputs, logits, rtol=1e-4, atol=1e-4)
    assert [torch.equal(found["mask"], mask) for found, mask in zip(output.found, logits.argmax(1), strict=True)]


def test_fixed_transposed_convolution_interpolates_except_at_the_edges() -> None:
    network = fcn(skips=32)
    assert "decoder.to_pixels.0.kernel" not in network.state_dict()
    scores = torch.randn(1, CLASSES, 5, 6)
    for learned in (False, True):
        enlarged = fcn(skips=32, learned_upsampling=learned).decoder.to_pixels(scores)
        assert enlarged.shape[-2:] == (80, 96)
        inside = (..., slice(16, -16), slice(16, -16))
        torch.testing.assert_close(enlarged[inside], bilinear(scores, 16)[inside])


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 8])
def test_any_kernel_and_stride_gives_the_exact_size(kernel: int) -> None:
    images, _ = scene(ODD)
    for options in (
        {"upsampling_stride": 2},
        {"upsampling_stride": 4, "learned_upsampling": True},
        {"decoder": "symmetric"},
    ):
        network = fcn(skips=32, upsampling="transposed", upsampling_kernel=kernel, **options)
        assert network.upsampling_stride == options.get("upsampling_stride", 2)
        assert network(network.batch(images).pixels).shape == (2, CLASSES, 80, 96)


def test_skips_have_no_effect_at_first() -> None:
    images, targets = scene(ODD)
    logits = []
    for skips in (32, 16, 8):
        network = fcn(backbone="resnet18", skips=skips, upsampling="nearest", norm="train")
        assert network.upsampling_stride == skips
        logits.append(network.evaluate(images, targets).outputs)
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


def test_skips_of_vgg_are_pool3_and_pool4() -> None:
    with torch.device("meta"):
        network = FCN(21, backbone="vgg16", skips=8, head="backbone")
        maps = network.backbone(torch.zeros(1, 3, 64, 96))
    assert list(network.backbone.return_layers) == ["16", "23", "fc"]
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(256, 8, 12), (512, 4, 6), (4096, 2, 3)]
    assert [tuple(layer.weight.shape) for layer in (network.backbone["fc"][0], network.backbone["fc"][3])] == [
        (4096, 512, 7, 7),
        (4096, 4096, 1, 1),
    ]


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet", "googlenet"])
def test_only_new_layers_train_with_zero_trainable_layers(backbone: str) -> None:
    with torch.device("meta"):
        network = FCN(21, backbone=backbone, head="backbone", trainable_layers=0)
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trained == ["classifier.0.weight", "classifier.0.bias"]
    assert network.divisible == 32
    if backbone != "googlenet":
        with torch.device("meta"):
            network = FCN(21, backbone=backbone, head="backbone", trainable_layers=1)
        trained = {name.split(".")[1] for name, value in network.backbone.named_parameters() if value.requires_grad}
        assert len([value for value in network.backbone.parameters() if value.requires_grad]) == 4  # fc6 and fc7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsampling": "bed_of_nails"}, "needs convolutions after it: choose decoder: symmetric"),
        ({"upsampling": "max_unpool"}, "needs convolutions after it: choose decoder: symmetric"),
        ({"upsampling": "nearest", "upsampling_kernel": 4}, "belong to upsampling: transposed, not nearest"),
        ({"upsampling": "bilinear", "learned_upsampling": True}, "belong to upsampling: transposed, not bilinear"),
        ({"upsampling_kernel": 0}, "upsampling_kernel=0: give at least 1"),
        ({"upsampling_overlap": "mean"}, "belongs to decoder: symmetric with upsampling: transposed"),
        (
            {"decoder": "symmetric", "upsampling": "nearest", "upsampling_overlap": "mean"},
            "belongs to decoder: symmetric with upsampling: transposed",
        ),
        (
            {"decoder": "symmetric", "upsampling_kernel": 2, "upsampling_overlap": "mean"},
            "kernels of 2 do not overlap at strides of 2 and more",
        ),
        ({"upsampling_stride": 3}, "upsampling_stride=3: no power of it gives 8"),
        ({"upsampling_stride": 1}, "upsampling_stride=1: no power of it gives 8"),
        ({"decoder": "symmetric", "upsampling_stride": 2}, "belong to decoder: score"),
        ({"decoder_width": 8}, "belongs to decoder: symmetric"),
        ({"decoder": "symmetric", "decoder_width": 0}, "decoder_width=0: give at least 1"),
        ({"decoder": "symmetric", "head": "conv"}, "belong to decoder: score"),
        ({"head": "backbone"}, "takes a VGG, alexnet or googlenet, not 'tiny_vgg'"),
        ({"skips": 16}, "skips=16: the last map of tiny_vgg has stride 16 here"),
        ({"output_stride": 8}, "output_stride=8: only ResNets with bottlenecks"),
        ({"backbone": "resnet18", "output_stride": 16}, "not 'resnet18': give 32"),
        ({"backbone": "vgg16", "weights": "imagenet-features"}, "are for the pixels of SSD"),
        ({"trainable_layers": 6}, "tiny_vgg has 5 stages here"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fcn(**options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arm",
    ["symmetric_max_unpool", pytest.param("symmetric_transposed", marks=pytest.mark.long), "score_transposed"],
)
def test_it_overfits_four_images(arm: str) -> None:
    images, targets = [], []
    for index, (left, top, side) in enumerate([(8, 10, 22), (22, 6, 18), (5, 16, 26), (18, 20, 24)]):
        square = (..., slice(top, top + side), slice(left, left + side))
        image, mask = torch.full((3, 48, 48), 20, dtype=torch.uint8), torch.zeros(48, 48, dtype=torch.uint8)
        image[square] = 240
        image[index % 2][square] = 40
        mask[square] = 1 + index % 2
        images.append(image)
        targets.append({"mask": mask})
    network, steps = fcn(**ARMS[arm]), 150
    optimizer = torch.optim.AdamW(network.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    for _ in range(steps):
        loss = network.losses(images, targets)["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    pairs = zip(network.predict(images), targets, strict=True)
    wrong = [(found["mask"] != target["mask"]).float().mean() for found, target in pairs]
    assert max(wrong) < 0.03
