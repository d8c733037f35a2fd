"""Two gloo processes with one image each, one without objects, take the same step as one process with both images."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lit_cv.models import FCN, DownUpFCN, FullResolutionFCN, LocalizationNet, MaskRCNN, PoseNet, SlidingWindowSegmenter
from lit_cv.models.network import Network
from lit_cv.ops.global_batch import global_batch
from tests.helpers.scenes import CLASSES, scene
from tests.models.detection.test_detector import (
    densecap,
    fast_rcnn,
    faster_rcnn,
    fcos,
    rcnn,
    retinanet,
    rfcn,
    sliding_window,
    ssd,
    yolo,
)
from tests.models.rcnn.test_mask_rcnn import JOINTS, instances

SIZES = [(70, 90), (128, 100)]
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


def mask_rcnn() -> Network:
    options = {"backbone": "tiny", "neck": "c4", "anchor_scales": [24.0, 48.0], "head_features": 64, "roi_batch": 8}
    options |= {"rpn_post_nms_test": 6, "detections_per_image": 6}
    return MaskRCNN(CLASSES, heads=("mask", "keypoint"), num_keypoints=JOINTS, min_size=96, max_size=128, **options)


DETECTORS = {
    "faster_rcnn": faster_rcnn,
    "fast_rcnn": fast_rcnn,
    "rcnn": rcnn,
    "sliding_window": sliding_window,
    "ssd": ssd,
    "yolo": lambda: yolo(dropout=0.5),
    "retinanet": retinanet,
    "fcos": fcos,
    "rfcn": rfcn,
    "densecap": lambda: densecap(dropout=0.5),
}
OTHERS = {
    "mask_rcnn": mask_rcnn,
    "fcn": lambda: FCN(CLASSES, backbone="tiny", dropout=0.5),
    "several_scales": lambda: FCN(CLASSES, backbone="tiny", min_size=[48, 64, 80, 96], max_size=128),
    "full_resolution": lambda: FullResolutionFCN(CLASSES, widths=[8, 8], dilations=[1, 2]),
    "down_up": lambda: DownUpFCN(CLASSES, widths=[8, 8, 8], strides=[1, 4, 1]),
    "sliding_window_segmenter": lambda: SlidingWindowSegmenter(CLASSES, widths=[4, 8]),
    "pose": lambda: PoseNet(JOINTS, backbone="tiny", size=64, pool=2, head_features=32),
    "localization": lambda: LocalizationNet(CLASSES, backbone="tiny", size=64, pool=2, head_features=[32], dropout=0.5),
}


def batch_of(name: str) -> Batch:
    """Return two images. The second has nothing to learn from, if the network allows that."""
    if name == "mask_rcnn":
        return instances([3, 0])
    images, targets = scene([3, 0], SIZES)
    if name in DETECTORS:
        return images, targets
    generator = torch.Generator().manual_seed(1)
    for image, target in zip(images, targets, strict=True):
        target["mask"] = torch.randint(0, CLASSES, image.shape[1:], dtype=torch.uint8, generator=generator)
        target["keypoints"] = torch.rand(1, JOINTS, 3, generator=generator) * torch.tensor([64.0, 64, 1])
        target["boxes"], target["labels"] = torch.tensor([[8.0, 9, 50, 60]]), torch.tensor([2])
    targets[1]["mask"].fill_(255)
    targets[1]["keypoints"][..., 2] = 0
    return images, targets


class Step(nn.Module):
    """The losses of a network as the training step computes them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network: Network = {**DETECTORS, **OTHERS}[name]()

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        with global_batch():
            return self.network.losses(images, targets)


def take_steps(step: nn.Module, batch: Batch) -> list[Tensor]:
    """Return the losses and the gradients of the second of two steps with the same weights and random numbers."""
    for _ in range(2):  # DDP detects a parameter without a gradient in the next step
        torch.manual_seed(1)
        step.zero_grad()
        losses = step(*batch)
        sum(losses.values()).backward()
    return [*(loss.detach() for loss in losses.values()), *(p.grad for p in step.parameters() if p.requires_grad)]


def work(rank: int, names: list[str], folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    for name in names:
        images, targets = batch_of(name)
        step = DistributedDataParallel(Step(name))
        values = take_steps(step, (images[rank : rank + 1], targets[rank : rank + 1]))
        for loss in values[: len(step.module.network.loss_names)]:
            dist.all_reduce(loss)
            loss /= 2
        torch.save(values, f"{folder}/{name}_{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.long
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    names = [*DETECTORS, *OTHERS]
    mp.spawn(work, args=(names, str(tmp_path)), nprocs=2)
    for name in names:
        step = Step(name)
        expected = take_steps(step, batch_of(name))
        losses = len(step.network.loss_names)
        assert sum(expected[:losses]) > 0
        for rank in range(2):
            found = torch.load(tmp_path / f"{name}_{rank}.pt")
            torch.testing.assert_close(found[:losses], expected[:losses], rtol=2e-6, atol=1e-6, msg=name)
            for gradient, wanted in zip(found[losses:], expected[losses:], strict=True):
                assert (gradient - wanted).norm() <= 1e-4 * wanted.norm() + 1e-6, name
