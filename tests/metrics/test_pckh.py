import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_cv.metrics import PCK, PCKh
from tests.helpers.two_processes import results_of_two

PEOPLE, JOINTS = 7, 5
Args = tuple[Tensor, Tensor, Tensor, Tensor]


def by_hand() -> Args:
    """Return three people with four joints; the errors are 0, 5, 13 or huge."""
    target = torch.tensor([[[10.0, 10], [20, 20], [30, 30], [40, 40]]]).repeat(3, 1, 1)
    errors = torch.tensor(
        [
            [[0, 0], [3, 4], [5, 12], [900, 0]],
            [[-4, 3], [0, 5], [0, 0], [900, 0]],
            [[0, 0], [0, 0], [0, 0], [0, 0]],
        ]
    )
    labeled = torch.tensor([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]]).bool()
    return target + errors, target, labeled, torch.tensor([10.0, 25.0, math.nan])


def test_a_case_worked_by_hand() -> None:
    # Person 1 has limits of 5, 2 and 1 and errors of 0, 5 and 13; person 2 of 12.5, 5 and 2.5, and of 5, (5) and 0.
    # Person 3 has no head size; joint 3 is never labeled.
    metric = PCKh()
    metric.update(*by_hand())
    shares = metric.compute()
    assert set(shares) == {f"pckh_{t}{suffix}" for t in (50, 20, 10) for suffix in ("", "_per_joint")}
    assert shares["pckh_50_per_joint"][:3].tolist() == [1, 1, 1 / 2]
    assert shares["pckh_20_per_joint"][:3].tolist() == [1, 0, 1 / 2]
    assert shares["pckh_10_per_joint"][:3].tolist() == [1 / 2, 0, 1 / 2]
    assert all(math.isnan(shares[f"pckh_{t}_per_joint"][3]) for t in (50, 20, 10))
    assert [shares[f"pckh_{t}"].item() for t in (50, 20, 10)] == [4 / 5, 3 / 5, 2 / 5]


def test_joints_left_out_of_the_total_keep_their_own_share() -> None:
    metric = PCKh(thresholds=(0.5,), left_out=(2, 3))
    metric.update(*by_hand())
    shares = metric.compute()
    assert shares["pckh_50"] == 3 / 3
    assert shares["pckh_50_per_joint"][2] == 1 / 2


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_pck_names_its_own_thresholds_and_counts_over_batches() -> None:
    metric = PCK()
    for person in zip(*by_hand(), strict=True):
        metric.update(*(tensor[None] for tensor in person))
    shares = metric.compute()
    assert set(shares) == {"pck_20", "pck_20_per_joint"}
    assert shares["pck_20"] == 3 / 5
    metric.reset()
    assert math.isnan(metric.compute()["pck_20"])
    metric.update(*by_hand())
    assert metric.compute()["pck_20"] == 3 / 5


def test_no_people_and_no_labeled_joints_give_nan() -> None:
    points, target, labeled, size = by_hand()
    for args in ((points, target, labeled & False, size), (points, target, labeled, size * math.nan)):
        metric = PCKh()
        metric.update(*args)
        assert math.isnan(metric.compute()["pckh_50"])
    with pytest.raises(ValueError, match=r"shapes .*\(N, K\) and \(N,\) are needed"):
        PCKh().update(points, target, labeled[:2], size)


def random_people() -> Args:
    generator = torch.Generator().manual_seed(3)
    target = torch.rand(PEOPLE, JOINTS, 2, generator=generator) * 100
    points = target + torch.randn(PEOPLE, JOINTS, 2, generator=generator) * 2
    labeled = torch.rand(PEOPLE, JOINTS, generator=generator) < 0.8
    return points, target, labeled, torch.rand(PEOPLE, generator=generator) * 30


def evaluate(share: list[int]) -> dict[str, list[float] | float]:
    metric = PCKh(left_out=(1,))
    for index in share:
        metric.update(*(tensor[index : index + 1] for tensor in random_people()))
    return {name: value.tolist() for name, value in metric.compute().items()}


# An odd number of people, and a rank without people.
SHARES: list[tuple[list[int], list[int]]] = [([0, 2, 4, 6], [1, 3, 5]), (list(range(PEOPLE)), [])]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_give_the_same_digits_as_one(tmp_path: Path) -> None:
    expected = evaluate(list(range(PEOPLE)))
    assert 0.1 < expected["pckh_50"] < 0.9
    assert results_of_two(evaluate, SHARES, tmp_path) == [expected] * 2 * len(SHARES)
