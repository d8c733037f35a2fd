"""The contract of a detector as one call, for the tests of detectors of your own."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lit_cv.models.detection.detector import Detector
from lit_cv.models.network import Target
from lit_cv.ops.global_batch import global_batch

Batch = tuple[list[Tensor], list[Target]]
SIZES = ((96, 128), (128, 80))  # height and width of the images
TOLERANCE = 1e-4


def check_detector(kind: Callable[..., Detector], **settings: Any) -> None:
    """Check that a detector keeps the contract of ``Network`` and ``Detector``.

    * The losses have the names of ``loss_names``, are float32 scalars (under autocast, too), are finite also for images
      without objects, and reach every trained parameter.
    * Predictions have the fields of ``Detection``, inside the image, with descending scores and labels in 1..C.
    * ``channels_last`` reaches the weights.
    * Two processes with one image each, one of them without objects, compute the losses and gradients of one process
      with both images.

    Args:
        kind: The class of the detector. A second process imports it, so it is in a module.
        settings: Its arguments, with ``num_classes``, and without dropout or other random parts.

    Raises:
        AssertionError: A rule is broken; the message names it.
    """
    network = _built(kind, settings)
    for objects in ((2, 0), (0, 0)):
        _check_losses(network, _scene(objects, network.num_classes))
    _check_predictions(network)
    _check_memory_format(_built(kind, {**settings, "channels_last": True}))
    _check_processes(kind, settings)


def _built(kind: Callable[..., Detector], settings: dict[str, Any]) -> Detector:
    torch.manual_seed(0)
    return kind(**settings)


def _scene(objects: tuple[int, ...], num_classes: int) -> Batch:
    """Return noise with boxes at random places, and proposals that are these boxes and others."""
    generator = torch.Generator().manual_seed(0)
    images, targets = [], []
    for count, (height, width) in zip(objects, SIZES, strict=True):
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator))
        size = torch.tensor([width, height])
        corners = torch.rand(count + 20, 2, 2, generator=generator).sort(dim=1).values * (size - 12)
        boxes = torch.cat((corners[:, 0], corners[:, 1] + 12), dim=1)
        labels = torch.randint(1, num_classes, (count,), generator=generator)
        targets.append({"boxes": boxes[:count], "labels": labels, "proposals": boxes})
    return images, targets


def _check_losses(network: Detector, batch: Batch) -> None:
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
            losses = network.losses(*batch)
        assert tuple(losses) == tuple(network.loss_names), f"losses {list(losses)}, loss_names {network.loss_names}"
        for name, loss in losses.items():
            assert loss.shape == (), f"the loss {name} has shape {tuple(loss.shape)} and is no scalar"
            assert loss.dtype == torch.float32, f"the loss {name} is {loss.dtype} under autocast to {precision}"
            assert loss.isfinite(), f"the loss {name} is {loss.item()}"
    network.zero_grad()
    torch.autograd.backward(torch.stack(list(network.losses(*batch).values())).sum())
    without = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    assert not without, f"no loss reaches {without[:3]}, so training on several processes would wait for its gradient"


def _check_predictions(network: Detector) -> None:
    images, _ = _scene((1, 1), network.num_classes)
    network.train()
    found = network.predict(images)
    assert network.training, "predict leaves the network in eval mode"
    assert len(found) == len(images), f"{len(found)} predictions for {len(images)} images"
    for image, one in zip(images, found, strict=True):
        boxes, scores, labels = one["boxes"], one["scores"], one["labels"]
        count, (height, width) = len(boxes), image.shape[1:]
        assert boxes.shape == (count, 4), f"boxes {tuple(boxes.shape)} are not (M, 4)"
        assert scores.shape == labels.shape == (count,), "scores and labels have another length than the boxes"
        assert boxes.dtype == scores.dtype == torch.float32, f"boxes are {boxes.dtype}, scores {scores.dtype}"
        assert labels.dtype == torch.int64, f"labels are {labels.dtype}, not int64"
        limit = torch.tensor([width, height, width, height]) + 1e-2
        assert ((boxes >= -1e-2) & (boxes <= limit)).all(), "boxes leave the image: clip them, see clip_boxes"
        assert (scores.diff() <= 0).all(), "scores do not descend"
        assert ((scores >= 0) & (scores <= 1)).all(), "scores are not in [0, 1]"
        assert ((labels >= 1) & (labels < network.num_classes)).all(), f"labels {labels.unique().tolist()} beyond 1..C"


def _check_memory_format(network: Detector) -> None:
    weights = [value for value in network.parameters() if value.ndim == 4 and min(value.shape) > 1]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in weights), (
        "channels_last has no effect: call use_memory_format() at the end of __init__"
    )


def _check_processes(kind: Callable[..., Detector], settings: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Processes forked from a server start much faster than new ones from the second check on.
        mp.get_context("forkserver").set_forkserver_preload([__name__])
        options = {"args": (kind, settings, folder), "nprocs": 2, "start_method": "forkserver"}
        mp.start_processes(_work, **options)  # type: ignore[attr-defined, no-untyped-call]
        halves = [torch.load(Path(folder, f"{rank}.pt")) for rank in range(2)]
    losses, gradients = _step(_Losses(_built(kind, settings)), _scene((2, 0), settings["num_classes"]))
    shared = (halves[0][0] + halves[1][0]) / 2
    assert torch.allclose(losses, shared, rtol=TOLERANCE, atol=TOLERANCE), (
        f"the losses of two processes, {shared.tolist()}, are not those of one, {losses.tolist()}: divide sums over "
        "objects by shared_count (lit_cv.ops.global_batch)"
    )
    for ours, theirs in zip(gradients, halves[0][1], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=TOLERANCE), "the gradients of two processes differ"


def _step(network: torch.nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """Return the losses (L,) and the gradients of a step, with the random numbers of its seed."""
    torch.manual_seed(1)
    losses = torch.stack(list(network(*batch).values()))
    torch.autograd.backward(losses.sum())
    return losses.detach(), [value.grad for value in network.parameters() if value.grad is not None]


class _Losses(torch.nn.Module):
    """Makes the losses of a network its ``forward``, as DistributedDataParallel needs it."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        with global_batch():
            return self.network.losses(images, targets)


def _work(rank: int, kind: Callable[..., Detector], settings: dict[str, Any], folder: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    images, targets = _scene((2, 0), settings["num_classes"])
    network = DistributedDataParallel(_Losses(_built(kind, settings)))
    result = _step(network, (images[rank : rank + 1], targets[rank : rank + 1]))
    torch.save(result, Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()
