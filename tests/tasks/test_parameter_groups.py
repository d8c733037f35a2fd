"""Groups of parameters: the right members, rates and decays, and one sentence for settings without effect."""

import pytest
import torch
from torch import nn

from lit_cv.errors import UserError
from lit_cv.models import FasterRCNN, PoseNet
from lit_cv.tasks import OneCycle, Task, WarmupMultiStepLR
from lit_cv.tasks.parameter_groups import ParameterGroups
from tests.tasks.test_base import Data, Trained, TwoLosses, trainer


@pytest.fixture(scope="module")
def network() -> FasterRCNN:
    return FasterRCNN(num_classes=4, backbone="resnet18", neck="fpn", norm="train")


def grouped(network: nn.Module, **settings: object) -> dict[str, tuple[float, float, set[str]]]:
    """Return rate, weight decay and parameters of each group, for an optimizer with rate 1 and weight decay 0.1."""
    groups, names = ParameterGroups(network, **settings), {id(part): name for name, part in network.named_parameters()}
    optimizer = torch.optim.AdamW(groups.of(network.named_parameters()), lr=1.0, weight_decay=0.1)
    groups.scale(optimizer)
    return {
        group.get("name", "one"): (group["lr"], group["weight_decay"], {names[id(part)] for part in group["params"]})
        for group in optimizer.param_groups
    }


def test_default_is_one_group_without_a_name(network) -> None:
    optimizer = torch.optim.AdamW(ParameterGroups(network).of(network.named_parameters()))
    (group,) = optimizer.param_groups
    assert group.keys() == torch.optim.AdamW([nn.Parameter(torch.zeros(1))]).param_groups[0].keys()
    assert [id(part) for part in group["params"]] == [id(part) for part in network.parameters()]


def test_last_matching_pattern_counts(network) -> None:
    found = grouped(network, lr_factors={"backbone.*": 0.1, "backbone.fpn.*": 0.5})
    assert {name: rate for name, (rate, _, _) in found.items()} == {
        "backbone.*": 0.1,
        "backbone.fpn.*": 0.5,
        "others": 1.0,
    }
    assert all(name.startswith("backbone.body.") for name in found["backbone.*"][2])
    assert all(name.startswith("backbone.fpn.") for name in found["backbone.fpn.*"][2])
    assert not any(name.startswith("backbone.") for name in found["others"][2])


@pytest.mark.parametrize("kinds", [["norms"], ["biases"], ["norms", "biases"]])
def test_norms_and_biases_without_weight_decay(network, kinds) -> None:
    (_, decay, plain), (_, none, exempt) = grouped(network, no_weight_decay=kinds).values()
    assert (decay, none) == (0.1, 0.0)
    norms = {name for name, _ in network.named_parameters() if ".bn" in name or "downsample.1" in name}
    biases = {name for name, _ in network.named_parameters() if name.endswith(".bias")}
    assert len(norms) > 30
    assert exempt == (norms if "norms" in kinds else set()) | (biases if "biases" in kinds else set())
    assert not exempt & plain


@pytest.mark.parametrize("backbone", ["resnet18", "tiny", "timm/resnet18.a1_in1k"])
def test_layer_decay_follows_the_stages_of_the_backbone(backbone) -> None:
    network = PoseNet(num_joints=3, backbone=backbone, norm="train")
    found = grouped(network, layer_decay=0.5)
    stages = [rate for name, (rate, _, _) in found.items() if name.startswith("stage ")]
    assert stages == [0.5**depth for depth in range(len(stages), 0, -1)]
    assert len(stages) >= 4
    rate, _, head = found["others"]
    assert rate == 1.0
    assert head
    assert not any(name.startswith("backbone.") for name in head)
    if backbone == "resnet18":
        assert all(".layer2." in name for name in found["stage 3"][2])
    frozen = PoseNet(num_joints=3, backbone=backbone, norm="train", trainable_layers=2)
    assert [rate for rate, _, _ in grouped(frozen, layer_decay=0.5).values()] == [0.25, 0.5, 1.0]


def test_settings_are_combined(network) -> None:
    found = grouped(network, layer_decay=0.5, lr_factors={"*.layer4.*": 0.1}, no_weight_decay=["biases"])
    rate, decay, _ = found["*.layer4.*, stage 5, no weight decay"]
    assert (rate, decay) == (0.05, 0.0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"lr_factors": {"bakbone.*": 0.1}},
            r"'bakbone\.\*' matches no parameter of FasterRCNN; did you mean backbone\.\*",
        ),
        (
            {"lr_factors": {"backbone": 0.1}},
            r"'backbone' matches no parameter of FasterRCNN; did you mean backbone\.\*",
        ),
        ({"lr_factors": {"rpn.*": 0.1, "*": 2}}, r"'rpn\.\*' has no effect, because later patterns match all of its"),
        ({"lr_factors": {"*": 0.0}}, r"'\*' has the factor 0\.0, expected a number above 0"),
        ({"lr_factors": {"*": float("nan")}}, "has the factor nan"),
        ({"layer_decay": 0.0}, r"layer_decay is 0\.0, expected a number above 0 and at most 1"),
        ({"layer_decay": 1.1}, r"layer_decay is 1\.1, expected"),
    ],
)
def test_settings_without_meaning_are_refused(network, settings, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        ParameterGroups(network, **settings)


def test_layer_decay_needs_stages() -> None:
    with pytest.raises(UserError, match=r"TwoLosses has no backbone with stages; use model\.lr_factors"):
        Trained(TwoLosses(), layer_decay=0.5)


def test_settings_without_effect_are_said(capsys) -> None:
    network = PoseNet(num_joints=3, backbone="tiny", trainable_layers=0)
    groups = ParameterGroups(network, {"backbone.*": 0.1}, ["biases"])
    groups.scale(torch.optim.Adam(groups.of(network.named_parameters())))
    assert capsys.readouterr().out.splitlines() == [
        "note: model.lr_factors: 'backbone.*' has no effect, because none of its parameters trains.",
        "note: model.no_weight_decay has no effect: Adam has no weight decay here.",
    ]


def sgd(params) -> torch.optim.SGD:
    return torch.optim.SGD(params, lr=0.25, momentum=0.9)


class Pair(TwoLosses):
    """Two weights, one of which only the task's groups tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Parameter(torch.tensor(1.0))

    def losses(self, images, targets):
        return {"near": self.weight, "far": self.second}


def task(scheduler=lambda to: WarmupMultiStepLR(to, 0), **settings) -> Task:
    return Trained(Pair(), None, sgd, scheduler, **settings)


def test_each_group_has_its_own_peak() -> None:
    slow = task(OneCycle, lr_factors={"second": 0.5})
    fitting = trainer(max_steps=10)
    fitting.fit(slow, Data())
    assert [group["max_lr"] for group in fitting.optimizers[0].param_groups] == [0.25, 0.125]
    moved = [1.0 - part.item() for part in (slow.network.weight, slow.network.second)]
    assert moved[1] == pytest.approx(moved[0] / 2)


@pytest.mark.parametrize(
    ("saved", "own"),
    [
        ({}, {"lr_factors": {"second": 0.5}}),
        ({"lr_factors": {"second": 0.5}}, {}),
        ({"lr_factors": {"weight": 2.0}}, {"lr_factors": {"second": 0.5}}),
    ],
)
def test_checkpoint_with_other_groups_is_refused(tmp_path, saved, own) -> None:
    first, path = trainer(max_steps=2), tmp_path / "last.ckpt"
    first.fit(task(**saved), Data())
    first.save_checkpoint(path)
    with pytest.raises(
        UserError, match=r"the optimizer of the checkpoint has the groups of parameters \[.*\], and here"
    ):
        trainer(max_steps=4).fit(task(**own), Data(), ckpt_path=path, weights_only=True)
    trainer(max_steps=4).fit(task(**saved), Data(), ckpt_path=path, weights_only=True)


def test_rate_of_a_checkpoint_that_is_continued_is_said(tmp_path, capsys) -> None:
    first, path = trainer(max_steps=2), tmp_path / "last.ckpt"
    first.fit(task(), Data())
    first.save_checkpoint(path)
    other = task()
    other.optimizer = lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9)
    trainer(max_steps=4).fit(task(), Data(), ckpt_path=path, weights_only=True)
    assert "note:" not in capsys.readouterr().out
    trainer(max_steps=4).fit(other, Data(), ckpt_path=path, weights_only=True)
    note = (
        "note: model.optimizer.lr: the training of the checkpoint continues at its own rate (0.25); 0.5 has no effect."
    )
    assert note in capsys.readouterr().out.splitlines()
