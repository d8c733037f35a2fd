"""``forward`` of every network: documented outputs, and the tools of other projects that call it."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lit_cv.models import Network
from lit_cv.models.network import OnePassNetwork
from tests.helpers.scenes import CLASSES
from tests.models.test_global_batch import DETECTORS, JOINTS, OTHERS, batch_of

Shapes = tuple[tuple[int, ...], ...]
HEIGHT, WIDTH = 96, 128
ROIS = torch.tensor([[0.0, 5, 5, 40, 60], [1, 10, 8, 80, 50], [1, 0, 0, 30, 30]])
OTHER_ROIS = torch.tensor([[1.0, 2, 5, 90, 40], [0, 1, 30, 33, 90], [1, 60, 20, 128, 96]])
ANCHORS = 6 * 8 * 2 * 3  # cells at stride 16, scales and ratios

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # sizes are constants of a trace


def flat(outputs: Any) -> list[Tensor]:
    """Return the tensors of nested tuples."""
    return [outputs] if isinstance(outputs, Tensor) else [tensor for part in outputs for tensor in flat(part)]


def assert_equal(found: Any, expected: Any) -> None:
    """Compare nested tuples of tensors."""
    for one, other in zip(flat(found), flat(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def two_stage(classes: int, *more: tuple[int, ...]) -> Shapes:
    """Return the shapes of a two-stage detector's outputs for two images and three regions."""
    return ((2, ANCHORS), (2, ANCHORS, 4), (ANCHORS, 4), (3, 5), (3, classes), (3, classes, 4), *more)


class ForwardTester:
    """Tests that each network's class inherits.

    Attributes:
        name: Name of the network in ``tests.models.test_global_batch``.
        size: Batch size, height and width of the first input.
        shapes: Shapes of the outputs.
    """

    name: ClassVar[str]
    size: ClassVar[tuple[int, int, int]] = (2, HEIGHT, WIDTH)
    shapes: ClassVar[Shapes]

    def build(self) -> Network:
        """Return the network in eval mode, with the same random weights in each call."""
        torch.manual_seed(0)
        return {**DETECTORS, **OTHERS}[self.name]().eval()

    def inputs(self, seed: int = 0) -> tuple[Tensor, ...]:
        """Return random inputs."""
        count, height, width = self.size
        return (torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed)),)

    def test_outputs_have_the_documented_shapes(self) -> None:
        outputs = flat(self.build()(*self.inputs()))
        assert tuple(tuple(output.shape) for output in outputs) == self.shapes
        assert all(output.dtype == torch.float32 for output in outputs)

    def test_hooks_fire(self) -> None:
        network, calls = self.build(), list[Any]()
        network.register_forward_hook(lambda module, inputs, outputs: calls.append((inputs, outputs)))
        inputs = self.inputs()
        outputs = network(*inputs)
        ((seen, found),) = calls
        assert all(one is other for one, other in zip(seen, inputs, strict=True))
        assert found is outputs

    def test_flops_are_counted(self) -> None:
        network = self.build()
        with FlopCounterMode(display=False) as counter:
            network(*self.inputs())
        assert counter.get_total_flops() > 0

    def test_gradients_reach_every_parameter_and_the_pixels(self) -> None:
        network, inputs = self.build(), self.inputs()
        inputs[0].requires_grad_(True)
        sum(output.square().sum() for output in flat(network(*inputs)) if output.requires_grad).backward()
        assert inputs[0].grad.abs().sum() > 0
        assert [name for name, value in network.named_parameters() if value.grad is None] == []

    def test_a_trace_computes_the_same(self) -> None:
        network, others = self.build(), self.inputs(seed=1)
        with torch.no_grad():
            assert_equal(torch.jit.trace(network, self.inputs())(*others), network(*others))

    def test_an_exported_program_computes_the_same(self) -> None:
        network, others = self.build(), self.inputs(seed=1)
        with torch.no_grad():
            assert_equal(torch.export.export(network, self.inputs()).module()(*others), network(*others))
            assert_equal(network(*self.inputs()), self.build()(*self.inputs()))  # the export has left no trace


class OnePassTester(ForwardTester):
    """Networks that compute losses and predictions from the same outputs."""

    def test_losses_and_predictions_come_from_one_call_each(self) -> None:
        network, calls = self.build(), list[int]()
        assert isinstance(network, OnePassNetwork)
        network.register_forward_hook(lambda *_: calls.append(1))
        images, targets = batch_of(self.name)
        network.losses(images, targets)
        network.predict(images)
        network.evaluate(images, targets)
        assert len(calls) == 3


class RegionTester(ForwardTester):
    """Networks that take regions in addition to pixels."""

    def inputs(self, seed: int = 0) -> tuple[Tensor, ...]:
        return (*super().inputs(seed), OTHER_ROIS if seed else ROIS)


class TwoStageTester(RegionTester):
    """Networks that propose regions if none are given."""

    def test_the_regions_are_the_proposals_by_default(self) -> None:
        network, pixels = self.build(), self.inputs()[0]
        with torch.no_grad():
            outputs = network(pixels)
            assert outputs.rois[:, 0].unique().tolist() == [0, 1]
            assert_equal(network(pixels, outputs.rois), outputs)


class TestFCN(OnePassTester):
    name = "fcn"
    shapes = ((2, CLASSES, HEIGHT, WIDTH),)


class TestFullResolutionFCN(OnePassTester):
    name = "full_resolution"
    shapes = ((2, CLASSES, HEIGHT, WIDTH),)


class TestDownUpFCN(OnePassTester):
    name = "down_up"
    shapes = ((2, CLASSES, HEIGHT, WIDTH),)


class TestSlidingWindowSegmenter(ForwardTester):
    name = "sliding_window_segmenter"
    shapes = ((2, CLASSES, HEIGHT // 4, WIDTH // 4),)


class TestLocalizationNet(OnePassTester):
    name = "localization"
    size = (2, 64, 64)
    shapes = ((2, CLASSES), (2, CLASSES, 4))


class TestPoseNet(OnePassTester):
    name = "pose"
    size = (2, 64, 64)
    shapes = ((2, JOINTS, 2),)


class TestSlidingWindowDetector(ForwardTester):
    name = "sliding_window"
    size = (3, 32, 32)
    shapes = ((3, CLASSES),)


class TestRCNN(ForwardTester):
    name = "rcnn"
    size = (3, 48, 48)
    shapes = ((3, CLASSES), (3, 128 * 3 * 3), (3, 128 * 3 * 3))


class TestFastRCNN(RegionTester):
    name = "fast_rcnn"
    shapes = ((3, CLASSES), (3, CLASSES, 4), (3, 64))


class TestFasterRCNN(TwoStageTester):
    name = "faster_rcnn"
    shapes = two_stage(CLASSES)


class TestRFCN(TwoStageTester):
    name = "rfcn"
    shapes = two_stage(CLASSES)


class TestMaskRCNN(TwoStageTester):
    name = "mask_rcnn"
    shapes = two_stage(CLASSES, (3, CLASSES, 28, 28), (3, JOINTS, 56, 56))


class TestDenseCap(TwoStageTester):
    name = "densecap"
    shapes = two_stage(2, (3, 64), (3, 1, 18))


class TestSSD(OnePassTester):
    name = "ssd"
    size = (2, 96, 96)
    shapes = ((2, 756, CLASSES), (2, 756, 4), (756, 4))


class TestYOLO(OnePassTester):
    name = "yolo"
    size = (2, 96, 96)
    shapes = ((2, 9, 2, 4), (2, 9, 2), (2, 9, CLASSES - 1))


class TestRetinaNet(OnePassTester):
    name = "retinanet"
    shapes = ((2, 2304, CLASSES), (2, 2304, 4), (1728, 4), (432, 4), (108, 4), (36, 4))


class TestFCOS(OnePassTester):
    name = "fcos"
    shapes = ((2, 256, CLASSES), (2, 256, 4), (2, 256), (192, 4), (48, 4), (12, 4), (4, 4))
