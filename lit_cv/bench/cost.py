"""Cost of a network: parameters, FLOPs, memory, and seconds in total and by stage."""

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from lit_cv.bench.stages import StageClock, staged, wait
from lit_cv.models.compiling import is_compiled, without_compilation
from lit_cv.models.network import evaluating

# These files exist only on Linux.
STATUS, CLEAR_REFS, CPUINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Cost:
    """Cost of a network's ``predict``.

    Attributes:
        params: Number of parameters.
        trainable_params: Number of parameters that require a gradient.
        gflops: 1e9 floating-point operations per image; a multiply-add counts as two. Only convolutions and matrix
            products are counted, not pooling, NMS or pointwise operations.
        seconds_per_image: Median wall time of ``predict`` on one image.
    """

    params: int
    trainable_params: int
    gflops: float
    seconds_per_image: float


def measure(network: nn.Module, images: Sequence[Tensor], repeats: int = 10) -> Cost:
    """Measure ``network.predict`` in eval mode without gradients, on the network's device.

    Every image runs once before the clock starts. The modes of all submodules are restored.

    Args:
        network: Network with ``predict(images: list[Tensor])``.
        images: uint8 (3, H, W) RGB, at least one. FLOPs are averaged over them; timed calls cycle through them.
        repeats: Number of timed calls.

    Raises:
        ValueError: If there is no image or no repeat.
    """
    _check(images, repeats)
    parameters = list(network.parameters())
    device = parameters[0].device
    batches = [[image.to(device)] for image in images]
    predict = cast(Callable[[list[Tensor]], Any], network.predict)
    with torch.no_grad(), evaluating(network):
        with without_compilation(), FlopCounterMode(display=False) as counter:
            for batch in batches:
                predict(batch)
        for batch in batches if is_compiled(network) else ():
            predict(batch)
        seconds = [seconds_of(predict, batches[index % len(batches)], device) for index in range(repeats)]
    return Cost(
        params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        gflops=counter.get_total_flops() / len(images) / 1e9,
        seconds_per_image=statistics.median(seconds),
    )


def stage_seconds(network: nn.Module, images: Sequence[Tensor], repeats: int = 5) -> dict[str, float]:
    """Measure ``network.predict`` by stage, in eval mode without gradients and compilation, on the network's device.

    Every image runs once before the clock starts. The times of an image are those of its run with the median total,
    so that the stages sum to a measured time.

    Args:
        network: Network with ``predict(images: list[Tensor])``; see ``Network.stages`` for its stages.
        images: uint8 (3, H, W) RGB, at least one; seconds are averaged over them.
        repeats: Number of timed calls per image.

    Returns:
        Seconds per image for each stage, in the order of ``STAGES``; their sum is the total.

    Raises:
        ValueError: If there is no image or no repeat.
    """
    _check(images, repeats)
    clock = StageClock(next(network.parameters()).device)
    batches = [[image.to(clock.device)] for image in images]
    predict = cast(Callable[[list[Tensor]], Any], network.predict)
    runs: list[list[dict[str, float]]] = [[] for _ in batches]
    with torch.no_grad(), without_compilation(), evaluating(network), staged(network, clock):
        for turn in tqdm(range(1 + repeats), desc="Timing stages", unit="pass", delay=2):
            for batch, own in zip(batches, runs, strict=True):
                clock.start()
                predict(batch)
                own += [clock.stop()] if turn else []
    typical = [sorted(own, key=lambda stages: sum(stages.values()))[(repeats - 1) // 2] for own in runs]
    return {stage: sum(stages[stage] for stages in typical) / len(images) for stage in clock.seconds}


def reset_peak_memory(device: torch.device) -> None:
    """Reset the measurement of ``peak_memory_gb`` on systems that support it (GPUs, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def peak_memory_gb(device: torch.device) -> float:
    """Return in gigabytes the peak memory of tensors on a GPU, or else the peak resident set size of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    if CPUINFO.exists():
        lines = CPUINFO.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model} ({os.cpu_count()} cores)"


def _check(images: Sequence[Tensor], repeats: int) -> None:
    if not images or repeats < 1:
        raise ValueError(f"measuring needs an image and a repeat, not {len(images)} and {repeats}")


def seconds_of(predict: Callable[[list[Tensor]], Any], batch: list[Tensor], device: torch.device) -> float:
    """Return the wall time of a call, including the work queued on the device."""
    wait(device)
    start = time.perf_counter()
    predict(batch)
    wait(device)
    return time.perf_counter() - start
