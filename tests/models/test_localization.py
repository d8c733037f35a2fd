import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import vgg

from lit_cv.errors import UserError
from lit_cv.models import LocalizationNet
from lit_cv.models.localization import decode, encode
from tests.helpers.scenes import randomize, scene

CLASSES = 4
SIZES = [(70, 90), (128, 100), (60, 128)]


def net(**options: object) -> LocalizationNet:
    torch.manual_seed(0)
    defaults = {"backbone": "tiny", "size": 96, "pool": 3, "head_features": [32]}
    return LocalizationNet(CLASSES, **{**defaults, **options})  # type: ignore[arg-type]


NETS: dict[str, Callable[..., LocalizationNet]] = {
    "mlp": net,
    "agnostic": lambda **options: net(box_head="agnostic", **options),
    "backbone": lambda **options: net(backbone="resnet18", head="backbone", size=64, norm="train", **options),
    "batch_norm": lambda **options: net(backbone="mobilenet_v3_small", norm="train", **options),
}


@pytest.fixture(params=NETS)
def build(request: pytest.FixtureRequest) -> Callable[..., LocalizationNet]:
    return NETS[request.param]


def constant(network: LocalizationNet, logits: list[float], codes: list[list[float]]) -> LocalizationNet:
    """Make both heads return the same outputs for every image."""
    for head, values in ((network.class_head, logits), (network.box_head, codes)):
        last = head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor(values).flatten()
    return network


def test_boxes_are_coded_relative_to_the_image() -> None:
    boxes, sizes = torch.tensor([[50.0, 20, 150, 60], [0, 0, 30, 40]]), torch.tensor([[200.0, 100], [30, 40]])
    codes = encode(boxes, sizes)
    torch.testing.assert_close(codes, torch.tensor([[0.5, 0.4, 0.5, 0.4], [0.5, 0.5, 1, 1]]))
    torch.testing.assert_close(decode(codes[:, None], sizes)[:, 0], boxes)


def test_decoded_boxes_lie_in_the_image_and_have_an_area() -> None:
    sizes = torch.tensor([[90.0, 70], [1, 1], [333, 500]])
    codes = 4 * torch.randn(3, 500, 4, generator=torch.Generator().manual_seed(1))
    codes[:, 0] = torch.tensor([0.5, 0.5, 0, -3])
    boxes = decode(codes, sizes)
    assert (boxes >= 0).all()
    assert (boxes <= sizes.repeat(1, 2)[:, None]).all()
    assert (boxes[..., 2:] - boxes[..., :2] >= 1 - 1e-4).all()


# The target is (0.5, 0.4, 0.5, 0.4) of class 2. The boxes of classes 1 and 2 differ from it by these numbers.
OFF = {1: [0.3, 0.0, 0.0, -0.4], 2: [0.1, -0.2, 0.0, 0.05]}


@pytest.mark.parametrize(
    ("box_loss", "per_class", "agnostic"),
    [
        ("l2", 0.01 + 0.04 + 0.0025, 0.09 + 0.16),
        ("l1", 0.35, 0.7),
        # below 0.1: square / 0.2; above: difference - 0.05
        ("smooth_l1", 0.05 + 0.15 + 0.0025 / 0.2, 0.25 + 0.35),
    ],
)
def test_losses_by_hand(box_loss: str, per_class: float, agnostic: float) -> None:
    images = [torch.zeros(3, 100, 200, dtype=torch.uint8)] * 2
    targets = [{"boxes": torch.tensor([[50.0, 20, 150, 60]]), "labels": torch.tensor([2])}] * 2
    codes = [[truth + off for truth, off in zip((0.5, 0.4, 0.5, 0.4), OFF[label], strict=True)] for label in (1, 2)]
    logits = [0.0, 1.0, 0.0, -1.0]
    many = constant(net(box_loss=box_loss), logits, [*codes, [9.0] * 4, [9.0] * 4])
    one = constant(net(box_loss=box_loss, box_head="agnostic"), logits, [codes[0]])
    entropy = torch.logsumexp(torch.tensor(logits), 0).item() - 1
    for network, box in ((many, per_class), (one, agnostic)):
        losses = network.losses(images, targets)
        assert tuple(losses) == network.loss_names
        assert losses["class"].item() == pytest.approx(entropy)
        assert losses["box"].item() == pytest.approx(box)


def test_every_class_is_ranked_with_its_own_box() -> None:
    codes = [[0.5, 0.5, 0.1 * width, 1.0] for width in (1, 2, 3, 4)]
    network = constant(net(), [0.0, 2.0, 1.0, 3.0], codes)
    (found,) = network.predict([torch.zeros(3, 50, 100, dtype=torch.uint8)])
    assert found["labels"].tolist() == [4, 2, 3, 1]
    torch.testing.assert_close(found["scores"], torch.tensor([3.0, 2, 1, 0]).softmax(0))
    expected = [[50 - 5 * width, 0, 50 + 5 * width, 50] for width in (4, 2, 3, 1)]
    torch.testing.assert_close(found["boxes"], torch.tensor(expected, dtype=torch.float32))


def test_losses_reach_every_parameter_and_evaluation_is_losses_and_predictions(
    build: Callable[..., LocalizationNet],
) -> None:
    network = build()
    images, targets = scene([1, 1, 1], SIZES)
    losses = network.losses(images, targets)
    sum(losses.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
    state = copy.deepcopy(network.state_dict())
    output = network.evaluate(images, targets)
    found = network.predict(images)
    assert network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    expected = network.eval().losses(images, targets)
    for name, loss in expected.items():
        assert loss.dim() == 0
        assert torch.equal(output.losses[name], loss)
    for image, one, other in zip(images, output.found, found, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in ("boxes", "scores", "labels"))
        assert one["boxes"].shape == (CLASSES, 4)
        assert (one["boxes"].dtype, one["scores"].dtype) == (torch.float32, torch.float32)
        assert sorted(one["labels"].tolist()) == [1, 2, 3, 4]
        assert (one["scores"].diff() <= 0).all()
        height, width = image.shape[-2:]
        assert (one["boxes"] <= torch.tensor([width, height] * 2)).all()
        assert not one["boxes"].requires_grad


def test_agnostic_boxes_are_the_same_for_all_classes() -> None:
    network = net(box_head="agnostic")
    assert network.box_head[-1].out_features == 4
    for found in network.predict(scene([1, 1, 1], SIZES)[0]):
        assert (found["boxes"] == found["boxes"][0]).all()


def test_memory_format_changes_no_result(build: Callable[..., LocalizationNet]) -> None:
    plain, last = build().eval(), build(channels_last=True).eval()
    last.load_state_dict(plain.state_dict())
    images, targets = scene([1, 1, 1], SIZES)
    expected = plain.losses(images, targets)
    for name, loss in last.losses(images, targets).items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-3, atol=1e-4)


def test_backbone_heads_are_the_last_layers_of_the_classification_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_cv.models.backbones.classifier_ends.FEATURES", 16)
    reference = nn.Module()
    reference.features = vgg.make_layers(vgg.cfgs["A"])
    fc6, fc7 = nn.Linear(512 * 7 * 7, 16), nn.Linear(16, 16)
    reference.classifier = nn.Sequential(fc6, nn.ReLU(), nn.Dropout(), fc7, nn.ReLU(), nn.Dropout(), nn.Linear(16, 9))
    randomize(reference)
    torch.save(reference.state_dict(), tmp_path / "vgg11.pth")
    network = net(backbone="vgg11", weights=str(tmp_path / "vgg11.pth"), head="backbone", size=224, dropout=0.25)
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.25}
    network.eval()
    reference.eval()
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = reference.classifier[:6](reference.features(pixels).flatten(1))
    assert expected.abs().max() > 0.1
    features = network.pool(network.backbone(pixels))
    for head in (network.class_head, network.box_head):
        torch.testing.assert_close(head[0](features), expected)


def test_trainable_layers_freeze_the_backbone_and_not_the_heads() -> None:
    network = net(trainable_layers=0)
    trained = {name.partition(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"class_head", "box_head"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 4}, r"size=96, pool=4: .* stride 16, so size must be a multiple of 16 x 4 = 64"),
        ({"size": 100}, r"size=100, pool=3: .* 16 x 3 = 48"),
        ({"head": "backbone"}, "not 'tiny': use mlp"),
        ({"head": "backbone", "backbone": "vgg11"}, "size=96: .* needs size 224"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        net(**options)
