import time
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from lit_cv.bench.cost import measure, peak_memory_gb, reset_peak_memory, stage_seconds
from lit_cv.bench.stages import STAGES, StageClock, staged
from lit_cv.models import FasterRCNN
from lit_cv.models.network import Network
from lit_cv.models.rcnn import proposals
from lit_cv.ops import boxes
from lit_cv.ops.stages import stage


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.body[1].eval()
        self.body[1].requires_grad_(False)
        self.calls: list[tuple[int, bool, bool]] = []

    def predict(self, images: list[Tensor]) -> Tensor:
        self.calls.append((len(images), self.training, torch.is_grad_enabled()))
        return self.body(torch.stack(images).float())


def test_flops_of_a_convolution_equal_the_formula_and_the_network_is_unchanged() -> None:
    network = Convolution()
    cost = measure(network, [torch.zeros(3, 16, 20, dtype=torch.uint8), torch.zeros(3, 32, 20, dtype=torch.uint8)], 5)
    pixels = (16 * 20 + 32 * 20) / 2
    assert cost.gflops == pytest.approx(2 * pixels * 8 * 3 * 3 * 3 / 1e9)
    assert (cost.params, cost.trainable_params) == (3 * 8 * 9 + 16, 3 * 8 * 9)
    assert 0 < cost.seconds_per_image < 1
    assert network.calls == [(1, False, False)] * 7
    assert network.training
    assert network.body.training
    assert not network.body[1].training


def test_the_network_is_unchanged_when_predict_fails() -> None:
    network = Convolution()
    with pytest.raises(RuntimeError):
        measure(network, [torch.zeros(4, 16, 16, dtype=torch.uint8)])
    assert network.training
    with pytest.raises(ValueError, match="needs an image"):
        measure(network, [])


IMAGE = torch.zeros(3, 64, 64, dtype=torch.uint8)
CPU = torch.device("cpu")


class Watch:
    """Clock that advances only on request."""

    def __init__(self) -> None:
        self.now = 0.0

    def spend(self, seconds: float) -> None:
        self.now += seconds


WATCH = Watch()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(time, "perf_counter", lambda: WATCH.now)
    return WATCH


class Spend(nn.Module):
    """Spend a known time, optionally part of it in an inner module."""

    def __init__(self, seconds: float, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.seconds, self.inner = seconds, inner
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self) -> None:
        WATCH.spend(self.seconds)
        if self.inner is not None:
            self.inner()


class Stages(Network):
    """Spend 20 ms in a backbone, 30 in heads and 40 in a backbone inside them, 25 in a method, 15 outside them."""

    loss_names = ()
    stages: ClassVar[dict[str, str]] = {
        "backbone": "backbone",
        "blocks": "heads",
        "refine": "proposals",
        "absent.part": "heads",
    }

    def __init__(self) -> None:
        super().__init__()
        inner = Spend(0.04)
        self.blocks = nn.ModuleList([Spend(0.01, inner), Spend(0.02)])
        self.backbone = nn.ModuleDict({"outer": Spend(0.02), "inner": inner})
        self.calls = 0

    def forward(self) -> None:
        raise NotImplementedError

    def losses(self, images: Any, targets: Any) -> dict[str, Tensor]:
        raise NotImplementedError

    def refine(self) -> None:
        WATCH.spend(0.025)

    def _predict(self, images: list[Tensor]) -> list[Tensor]:
        self.calls += 1
        self.backbone["outer"]()
        for block in self.blocks:
            block()
        self.refine()
        WATCH.spend(0.015)
        some = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        return [boxes.grouped_nms(some, torch.ones(1), torch.zeros(1, dtype=torch.int64), 0.5)]


@pytest.fixture
def slow_nms(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the innermost of the three NMS functions take 10 ms."""
    kernel = torch.ops.torchvision.nms

    def slow(*args: Any) -> Tensor:
        WATCH.spend(0.01)
        return kernel(*args)

    monkeypatch.setattr(torch.ops.torchvision, "nms", slow)


def test_the_time_of_a_part_appears_only_in_its_stage(slow_nms: None) -> None:
    seconds = stage_seconds(Stages(), [IMAGE], repeats=2)
    expected = {"proposals": 0.025, "backbone": 0.06, "heads": 0.03, "nms": 0.01, "rest": 0.015}
    assert list(seconds) == list(STAGES)
    assert seconds == pytest.approx(expected)


def test_stages_sum_to_the_wall_time_of_the_median_repeat(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the warm-up the second pass is the slowest and the first the fastest: the last one counts."""
    network = Stages()
    slower = iter([0.5, 0.0, 0.2, 0.1])

    def predict(images: list[Tensor]) -> Any:
        watch.spend(next(slower))
        return Network.predict(network, images)

    monkeypatch.setattr(network, "predict", predict)
    seconds = stage_seconds(network, [IMAGE], repeats=3)
    assert sum(seconds.values()) == pytest.approx(0.1 + 0.02 + 0.07 + 0.025 + 0.015)
    assert seconds["rest"] == pytest.approx(0.115)


def test_stages_are_averaged_over_the_images(watch: Watch) -> None:
    class ByWidth(Stages):
        def _predict(self, images: list[Tensor]) -> list[Tensor]:
            WATCH.spend(images[0].shape[-1] / 1000)
            return images

    seconds = stage_seconds(ByWidth(), [IMAGE[..., :10], IMAGE[..., :50]], repeats=1)
    assert seconds["rest"] == pytest.approx(0.03)


def test_the_network_and_functions_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Stages()
    functions = (boxes.nms, boxes.grouped_nms, torchvision.ops.nms, torchvision.ops.boxes.batched_nms)
    attributes = {name: set(vars(module)) for name, module in network.named_modules()}
    monkeypatch.setattr(Stages, "refine", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage_seconds(network, [IMAGE], repeats=1)
    after = (boxes.nms, boxes.grouped_nms, torchvision.ops.nms, torchvision.ops.boxes.batched_nms)
    assert all(old is new for old, new in zip(functions, after, strict=True))
    assert {name: set(vars(module)) for name, module in network.named_modules()} == attributes


def test_selective_search_is_the_stage_of_proposals(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    @stage("proposals")
    def search(image: np.ndarray) -> np.ndarray:
        WATCH.spend(0.05)
        return np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)

    monkeypatch.setattr(proposals, "selective_search", search)

    class Proposes(Stages):
        def _predict(self, images: list[Tensor]) -> list[Tensor]:
            return [proposals.propose(image) for image in images]

    seconds = stage_seconds(Proposes(), [IMAGE], repeats=1)
    assert seconds == pytest.approx(dict.fromkeys(STAGES, 0.0) | {"proposals": 0.05})


def test_a_detector_spends_time_in_every_stage_and_finds_the_same() -> None:
    torch.manual_seed(0)
    network = FasterRCNN(4, backbone="tiny", neck="c4", min_size=64, max_size=64, head_features=32, score_threshold=0.0)
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    (expected,) = network.predict([image])
    clock = StageClock(CPU)
    with staged(network, clock):
        clock.start()
        (found,) = network.predict([image])
        assert all(seconds > 0 for seconds in clock.stop().values())
    assert all(torch.equal(found[key], expected[key]) for key in ("boxes", "scores", "labels"))


def test_reset_peak_memory_excludes_freed_memory() -> None:
    reset_peak_memory(CPU)
    before = peak_memory_gb(CPU)
    held = np.ones(50_000_000)
    assert peak_memory_gb(CPU) - before == pytest.approx(0.4, abs=0.05)
    del held
    reset_peak_memory(CPU)
    assert peak_memory_gb(CPU) - before < 0.1


@pytest.mark.parametrize(("images", "repeats"), [([], 1), ([IMAGE], 0)])
def test_stages_need_an_image_and_a_repeat(images: list[Tensor], repeats: int) -> None:
    with pytest.raises(ValueError, match="needs an image and a repeat"):
        stage_seconds(Stages(), images, repeats)
