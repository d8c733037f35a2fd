"""Shared code of the benchmarks. Calls are timed in turns, so that a slow phase of the machine affects all of them."""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results"


def training_step(
    network: nn.Module, losses: Callable[[], Iterable[Tensor]], device: str, bf16: bool
) -> Callable[[], None]:
    """Return a function that runs one training step: forward, backward and optimizer."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            total = sum(losses())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def median_seconds(
    calls: dict[str, Callable[[], object]], repeats: int, warmup: int, device: str = "cpu"
) -> dict[str, float]:
    """Return the median seconds of each call, timed in turns in random order, without the first ``warmup`` turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for turn in range(warmup + repeats):
        random.Random(turn).shuffle(order)  # the state of caches and memory after a call then affects all others
        for name in order:
            synchronize(device)
            start = time.perf_counter()
            calls[name]()
            synchronize(device)
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def synchronize(device: str) -> None:
    """Wait until the GPU has finished; do nothing on CPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def write(name: str, result: dict[str, object]) -> None:
    """Write a result to the folder results/ and print the path."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    print(file)
