"""All stages of R-CNN together, on a network with simple features."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from datamodules import VOCDetectionDataModule
from lit_cv.callbacks.rcnn_stages import training as region_training
from lit_cv.callbacks.rcnn_stages.linear_models import solve_svm
from lit_cv.callbacks.rcnn_stages.training import RegionTraining
from lit_cv.errors import UserError
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.models import RCNN
from lit_cv.models.rcnn.proposals import ProposalDetector, propose
from lit_cv.models.rcnn.region_svm import RegionClassifiers
from lit_cv.ops.boxes import encode_boxes

CLASSES = 3


class Network(nn.Module):
    """A network whose features of a region are random waves of the region's coordinates."""

    classifier = "svm"
    box_regression = True
    proposals_train = 25

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.waves = nn.Parameter(torch.randn(4, 12, generator=generator) / 20)
        self.region_classifiers = RegionClassifiers(CLASSES, 12, 12)
        self.computed = 0

    given = ProposalDetector.given

    def region_features(self, images: list[Tensor], regions: list[Tensor]) -> Tensor:
        assert len(images) == len(regions)
        self.computed += len(images)
        return (torch.cat(regions) @ self.waves).sin().detach() + 1

    box_features = region_features


class Data:
    """Twenty images with objects of two classes; a third class has no object."""

    class_names = ("round", "square", "absent")
    fingerprint = "0123"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.targets = []
        for index in range(20):
            count = index % 4
            corners = torch.rand(30 + count, 2, 2, generator=generator).sort(dim=1).values.flatten(1) * 60
            corners[:, 2:] += 5
            near = corners[:count].repeat(3, 1) + torch.randn(3 * count, 4, generator=generator)
            labels = torch.randint(1, 3, (count,), generator=generator)
            proposals = torch.cat((near, corners[count:]))
            self.targets.append({"boxes": corners[:count], "labels": labels, "proposals": proposals})

    def train_in_order(self, first: int = 0) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        for start in range(first, 20, 4):
            part = self.targets[start : start + 4]
            yield [image] * len(part), part


def stages(folder: Path, network: Network | None = None, **options: object) -> RegionTraining:
    given = {"passes": 4, "keep_features": False, **options}
    return RegionTraining(network or Network(), Data(), folder, **given)


def trained(training: RegionTraining) -> dict[str, Tensor]:
    return training.classifiers.state_dict()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_training, "BLOCK", 100)
    monkeypatch.setattr(region_training, "SAVE_EVERY", 0.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    training = stages(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_training, "BLOCK", 100)
        with pytest.warns(UserWarning, match=r"1 of 3 classes have no object .* never be found: absent\."):
            training.run()
    return trained(training)


def regions_of(target: dict[str, Tensor]) -> Tensor:
    return torch.cat((target["boxes"], target["proposals"][: Network.proposals_train]))


def scaled(regions: Tensor, everything: Tensor) -> tuple[Tensor, float]:
    """Return features as read from disk, and the factor that scales `everything` to a mean length of 20."""
    network = Network()
    stored, stored_all = (network.region_features([0], [part]).half().float() for part in (regions, everything))
    factor = 20 / float(stored_all.norm(dim=1).mean())
    return stored * factor, factor


def test_svms_are_those_of_all_objects_and_all_regions_below_three_tenths(finished: dict[str, Tensor]) -> None:
    everything = torch.cat([regions_of(target) for target in Data().targets])
    for label in (1, 2):
        positives, negatives = [], []
        for target in Data().targets:
            objects = target["boxes"][target["labels"] == label]
            regions = regions_of(target)
            positives.append(objects)
            far = (box_iou(regions, objects) < 0.3).all(dim=1)
            negatives.append(regions[far])
        rows = torch.cat(positives + negatives)
        features, factor = scaled(rows, everything)
        positive = np.arange(len(rows)) < sum(map(len, positives))
        svm = solve_svm(features.numpy(), positive, tolerance=1e-8)
        best = objective(svm.weight, svm.bias, features, positive)
        weight, bias = finished["svm_weight"][label - 1] / factor, float(finished["svm_bias"][label - 1])
        assert objective(weight.double().numpy(), bias, features, positive) == pytest.approx(best, rel=1e-4)


def objective(weight: np.ndarray, bias: float, features: Tensor, positive: np.ndarray) -> float:
    """Return the objective of the SVM in the published code."""
    scores = features.double().numpy() @ weight + bias
    hinge = np.where(positive, 2 * np.maximum(0, 1 - scores), np.maximum(0, 1 + scores))
    return float(weight @ weight / 2 + (bias / 10) ** 2 / 2 + 1e-3 * hinge.sum())


def test_box_regressors_are_the_ridge_of_each_class(finished: dict[str, Tensor]) -> None:
    regions, goals, labels = [], [], []
    for target in Data().targets:
        for region in regions_of(target):
            overlap = box_iou(region[None], target["boxes"])[0]
            if len(overlap) and overlap.max() >= 0.6:
                regions.append(region)
                goals.append(encode_boxes(target["boxes"][overlap.argmax()], region))
                labels.append(int(target["labels"][overlap.argmax()]))
    features, factor = scaled(torch.stack(regions), torch.stack(regions))
    for label in (1, 2):
        own = torch.tensor(labels) == label
        assert own.sum() > 10
        design = np.hstack([features[own].double().numpy(), np.ones((int(own.sum()), 1))])
        goal = torch.stack(goals)[own].double().numpy()
        wanted = np.linalg.inv(design.T @ design + 1000 * np.eye(13)) @ design.T @ (goal - goal.mean(axis=0))
        np.testing.assert_allclose(finished["box_weight"][label - 1].T, wanted[:-1] * factor, atol=1e-5)
        np.testing.assert_allclose(finished["box_bias"][label - 1], wanted[-1] + goal.mean(axis=0), atol=1e-5)


def test_a_class_without_objects_is_never_detected(finished: dict[str, Tensor]) -> None:
    assert finished["svm_bias"].isneginf().tolist() == [False, False, True]
    classifiers = RegionClassifiers(CLASSES, 12, 12)
    classifiers.load_state_dict(finished)
    assert classifiers.scores(torch.randn(5, 12))[:, 2].tolist() == [0.0] * 5
    regions = torch.tensor([[3.0, 4, 20, 30]])
    torch.testing.assert_close(classifiers.boxes(torch.randn(1, 12), regions)[0, 2], regions[0])


class Killed(Exception):
    """Raised in place of the end of the process."""


@pytest.mark.filterwarnings("ignore:.*never be found")
@pytest.mark.parametrize("moment", range(1, 24))
def test_a_run_that_ends_before_any_file_is_renamed_continues_to_the_same_result(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: dict[str, Tensor]
) -> None:
    calls = 0
    rename = os.replace

    def replace(source: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == moment:
            raise Killed
        rename(source, target)
        return Path(target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed):
        stages(tmp_path).run()
    training = stages(tmp_path)
    training.run()
    for name, value in trained(training).items():
        assert torch.equal(value, finished[name]), name
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "boxes.pt",
        "made_with.txt",
        "regions.pt",
        "svms.pt",
    ]


@pytest.mark.filterwarnings("ignore:.*never be found")
def test_finished_stages_are_not_repeated(tmp_path: Path, finished: dict[str, Tensor]) -> None:
    stages(tmp_path, keep_features=True).run()
    assert {"features.f16", "box_features.f16"} <= {path.name for path in tmp_path.iterdir()}
    network = Network()
    training = stages(tmp_path, network)
    training.run()
    assert network.computed == 0
    assert all(torch.equal(value, finished[name]) for name, value in trained(training).items())
    with torch.no_grad():
        network.waves *= 2  # as if a repeated training had ended with other weights
    training = stages(tmp_path, network)
    training.run()
    assert network.computed == 40
    assert not torch.equal(trained(training)["svm_weight"], finished["svm_weight"])


@pytest.mark.filterwarnings("ignore:.*never be found")
def test_the_settings_of_the_network_decide_which_stages_run(tmp_path: Path) -> None:
    network = Network()
    network.classifier = "softmax"
    training = stages(tmp_path, network)
    training.run()
    state = trained(training)
    assert (bool(state["svm_trained"]), bool(state["boxes_trained"])) == (False, True)
    network = Network()
    network.box_regression = False
    training = stages(tmp_path / "other", network)
    training.run()
    state = trained(training)
    assert (bool(state["svm_trained"]), bool(state["boxes_trained"])) == (True, False)
    assert math.isinf(state["svm_bias"][2])


def test_images_without_proposals_are_refused(tmp_path: Path) -> None:
    training = stages(tmp_path)
    for target in training.data.targets:
        del target["proposals"]
    with pytest.raises(UserError, match=r"set data\.init_args\.proposals"):
        training.run()


class EightImages:
    """A DataModule with one batch."""

    fingerprint, difficult = "4567", True

    def __init__(self, class_names: tuple[str, ...], images: list[Tensor], targets: list[dict[str, Tensor]]) -> None:
        self.class_names, self.batch = class_names, (images, targets)

    def train_in_order(self, first: int = 0) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        return iter([self.batch][first // 8 :])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*never be found")
def test_eight_real_images_are_memorized(real_data: Path, tmp_path: Path) -> None:
    voc = VOCDetectionDataModule(str(real_data), train_sets=["2012_train"], val_sets=["2012_val"])
    voc.prepare_data()
    voc.setup("fit")
    images, targets = next(iter(voc.val_dataloader()))
    for image, item in zip(images, targets, strict=True):
        item["proposals"] = propose(image, 800)
    torch.manual_seed(0)
    weights = str(real_data / "weights" / "squeezenet1_0_imagenet.pth")
    sizes = {"size": 96, "padding": 7, "windows": 48}
    network = RCNN(21, backbone="squeezenet1_0", weights=weights, **sizes, channels_last=True, score_threshold=0.18)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-4, total_steps=120)
    training = RegionTraining(network, EightImages(voc.class_names, images, targets), tmp_path, 1, False)
    metric = COCOAveragePrecision(class_names=list(voc.class_names))
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(120):
            optimizer.zero_grad()
            network.losses(images, targets)["region_class"].backward()
            optimizer.step()
            schedule.step()
        training.run()
        metric.update(network.predict(images, [item["proposals"] for item in targets]), targets)
    assert metric.compute()["map_50"] >= 0.9
