from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_cv.bench import cost
from lit_cv.bench.turns import FEWEST, MOST, OtherWork, Subject, in_turns, spread

IMAGES = [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 4


class Clock:
    """Clock that advances only on request, and the order of the calls."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, list[str]()


class Slow(nn.Module):
    """Takes a known time; the machine becomes slower with every call of any network."""

    def __init__(self, name: str, seconds: float, clock: Clock, drift: float = 0.0) -> None:
        super().__init__()
        self.name, self.seconds, self.clock, self.drift = name, seconds, clock, drift

    def predict(self, images: list[Tensor]) -> Any:
        assert len(images) == 1
        assert not torch.is_grad_enabled()
        assert not self.training
        self.clock.now += self.seconds * (1 + self.drift * len(self.clock.calls))
        self.clock.calls.append(self.name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    watch = Clock()
    monkeypatch.setattr(cost.time, "perf_counter", lambda: watch.now)
    return watch


def subjects(clock: Clock, *seconds: float, drift: float = 0.0) -> list[Subject]:
    return [Subject(Slow(str(at), one, clock, drift), IMAGES, nullcontext()) for at, one in enumerate(seconds)]


def test_networks_are_measured_in_turns_so_that_drift_hits_all_alike(clock: Clock) -> None:
    networks = subjects(clock, 0.01, 0.01, drift=0.1)
    first, second = in_turns(networks, seconds=1.0)
    assert FEWEST <= len(first) == len(second) <= MOST
    order = "".join(clock.calls)
    assert order.endswith("0000" + "1111" + "0000" + "1111")
    assert min(second) / min(first) < 1.3 < 2 < max(first) / min(first)
    assert all(subject.network.training for subject in networks)


def test_milliseconds_per_image_and_their_number_follow_from_the_time_that_is_given(clock: Clock) -> None:
    rounds = in_turns(subjects(clock, 0.02, 0.001), seconds=100.0)
    assert [len(own) for own in rounds] == [MOST, MOST]
    assert [own[0] for own in rounds] == pytest.approx([20.0, 1.0])
    clock.calls.clear()
    (slow,) = in_turns(subjects(clock, 1.0), seconds=2.0)
    assert len(slow) == FEWEST
    assert len(clock.calls) == 4 + 1 + FEWEST  # one image in each round


def test_the_spread_of_the_rounds() -> None:
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == {"min": 1, "lower": 2, "median": 3, "upper": 4, "max": 5}


def test_own_work_is_not_the_work_of_others() -> None:
    other = OtherWork()
    sum(number * number for number in range(3_000_000))
    share = other.share()
    assert share is not None
    assert 0 <= share <= 1
