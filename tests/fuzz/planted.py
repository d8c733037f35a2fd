"""Formats with a fault planted into the program, which the fuzzer must find."""

import os
import time
from collections.abc import Callable
from random import Random
from typing import Any

from lit_cv import cli
from tests.fuzz.formats import Format


def _nothing() -> None:
    """Write no example."""


def _planted(fault: Callable[[], Any]) -> Format:
    def spoil(rng: Random) -> list[str]:
        cli._run = lambda args: fault()
        return ["list", "networks"]

    return Format(_nothing, spoil)


def _compute() -> None:
    while True:
        pass


PLANTED = {
    "planted_exception": _planted(lambda: 1 / 0),
    "planted_silence": _planted(lambda: 1),
    "planted_computing": _planted(_compute),
    "planted_waiting": _planted(lambda: time.sleep(1_000)),
    "planted_crash": _planted(os.abort),
    "planted_health": _planted(lambda: 0),
}
