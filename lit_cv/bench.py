"""What a network costs: parameters, arithmetic, seconds."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_cv.models.network import evaluating


@dataclass(frozen=True)
class Cost:
    """The cost of a network's `predict`.

    Attributes:
        params: number of parameters.
        trainable_params: those that require a gradient.
        gflops: 1e9 floating-point operations per image; one multiply-add is two. Convolutions and matrix products
            are counted, the rest (pooling, NMS, pointwise) is not.
        seconds_per_image: median wall time of `predict` on one image.
    """

    params: int
    trainable_params: int
    gflops: float
    seconds_per_image: float


def measure(network: nn.Module, images: Sequence[Tensor], repeats: int = 10) -> Cost:
    """Measure `network.predict` in eval mode without gradients, on the network's device.

    Every image runs once before the clock starts. The modes of all submodules are restored.

    Args:
        network: has `predict(images: list[Tensor])`.
        images: uint8 (3, H, W) RGB, at least one; arithmetic is averaged over them, timing goes round them.
        repeats: how many timed calls.

    Raises:
        ValueError: no image, or no repeat.
    """
    if not images or repeats < 1:
        raise ValueError(f"measuring needs an image and a repeat, not {len(images)} and {repeats}")
    parameters = list(network.parameters())
    device = parameters[0].device
    batches = [[image.to(device)] for image in images]
    predict = cast(Callable[[list[Tensor]], Any], network.predict)
    with torch.no_grad(), evaluating(network):
        with FlopCounterMode(display=False) as counter:
            for batch in batches:
                predict(batch)
        seconds = [_seconds(predict, batches[index % len(batches)], device) for index in range(repeats)]
    return Cost(
        params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        gflops=counter.get_total_flops() / len(images) / 1e9,
        seconds_per_image=statistics.median(seconds),
    )


def _seconds(predict: Callable[[list[Tensor]], Any], batch: list[Tensor], device: torch.device) -> float:
    """Wall time of a call, the device's queue included."""
    _wait(device)
    start = time.perf_counter()
    predict(batch)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
