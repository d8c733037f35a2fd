"""Times of several networks, measured in turns: what slows the machine for a while then slows all of them alike."""

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lit_cv.bench.cost import seconds_of
from lit_cv.models.network import evaluating

FEWEST, MOST = 5, 20  # rounds
PROCESSORS = Path("/proc/stat")  # exists only on Linux


@dataclass(frozen=True)
class Subject:
    """A network to measure.

    Attributes:
        network: Network with ``predict(images: list[Tensor])``, on its device.
        images: uint8 (3, H, W) RGB on the same device, at least one.
        precision: Context of each call, such as ``torch.autocast``.
    """

    network: nn.Module
    images: Sequence[Tensor]
    precision: AbstractContextManager[Any]


def in_turns(subjects: Sequence[Subject], seconds: float) -> list[list[float]]:
    """Measure ``predict`` on one image at a time, each network once per round, in eval mode without gradients.

    There are 5 to 20 rounds. If 5 rounds over all images take too long, fewer images are used, the same number for all.

    Args:
        subjects: The networks.
        seconds: Intended time for all rounds together; slow networks take longer, because of the fewest rounds.

    Returns:
        The milliseconds per image of each network in every round.
    """
    rounds: list[list[float]] = [[] for _ in subjects]
    with torch.no_grad(), ExitStack() as modes:
        for subject in subjects:
            modes.enter_context(evaluating(subject.network))
            _call(subject, subject.images)  # the first call of each image is slower
        single = max(1e-9, sum(_call(subject, subject.images[:1]) for subject in subjects))
        most = max(len(subject.images) for subject in subjects)
        count = min(most, max(1, int(seconds / (FEWEST * single))))
        for _ in range(min(MOST, max(FEWEST, int(seconds / (count * single))))):
            for subject, own in zip(subjects, rounds, strict=True):
                own.append(1000 * _call(subject, subject.images[:count]))
    return rounds


def spread(rounds: Sequence[float]) -> dict[str, float]:
    """Return minimum, quartiles (``lower``, ``median``, ``upper``) and maximum of at least two rounds."""
    lower, median, upper = statistics.quantiles(rounds, n=4, method="inclusive")
    return {"min": min(rounds), "lower": lower, "median": median, "upper": upper, "max": max(rounds)}


class OtherWork:
    """Counts the work of other programs between its creation and ``share``."""

    def __init__(self) -> None:
        self._start = self._now()

    def share(self) -> float | None:
        """Return the share of the machine's processors that other programs used, 0 to 1; None if it is unknown."""
        end = self._now()
        if self._start is None or end is None or end[0] <= self._start[0]:
            return None
        wall, busy, own = (after - before for after, before in zip(end, self._start, strict=True))
        return min(1.0, max(0.0, (busy - own) / (wall * (os.cpu_count() or 1))))

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Return wall time, busy time of all processors and time of this process, in seconds."""
        if not PROCESSORS.exists():
            return None
        user, nice, system, _, _, *interrupts = map(int, PROCESSORS.read_text().split("\n", 1)[0].split()[1:8])
        busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, time.process_time()


def _call(subject: Subject, images: Sequence[Tensor]) -> float:
    """Return the mean wall time of ``predict`` on one image, in seconds."""
    with subject.precision:
        taken = [seconds_of(subject.network.predict, [image], image.device) for image in images]  # type: ignore[arg-type]
    return statistics.fmean(taken)
