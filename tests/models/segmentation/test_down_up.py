"""DownUpFCN: the layers of FullResolutionFCN at other resolutions."""

import pytest
import torch
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models import DownUpFCN, FullResolutionFCN

CLASSES, WIDTHS = 4, (8, 16, 16, 8, 8)


def build(**options: object) -> DownUpFCN:
    torch.manual_seed(0)
    return DownUpFCN(CLASSES, **{"widths": WIDTHS, "strides": (1, 2, 8, 4, 1), **options})


def test_the_layers_are_those_of_the_full_resolution_with_poolings_and_repetitions_between() -> None:
    network = build(dilations=(1, 2, 1, 1, 1))
    torch.manual_seed(0)
    full = FullResolutionFCN(CLASSES, widths=WIDTHS, dilations=(1, 2, 1, 1, 1))
    for own, other in zip(network.parameters(), full.parameters(), strict=True):
        assert torch.equal(own, other)
    first, second, third, fourth, fifth = full.features
    x = torch.randn(2, 3, 16, 24)
    maps = second(F.max_pool2d(first(x), 2))
    maps = fourth(third(F.max_pool2d(maps, 4)).repeat_interleave(2, 2).repeat_interleave(2, 3))
    maps = fifth(maps.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert torch.equal(network(x), full.classifier(maps))
    assert (network.divisible, network.upsampling_stride) == (8, 4)


def test_scores_may_stay_coarse() -> None:
    assert build(strides=(1, 2, 4, 4, 2))(torch.randn(1, 3, 16, 24)).shape == (1, CLASSES, 8, 12)


@pytest.mark.parametrize(
    ("strides", "message"),
    [
        ((1, 2, 4, 1), "give 5 of at least 1, one for each width, the first is 1"),
        ((2, 2, 4, 2, 1), "the first is 1"),
        ((1, 2, 0, 2, 1), "give 5 of at least 1"),
        ((1, 2, 3, 1, 1), "2 and 3 are neighbors, but no multiples"),
        ((1, 1, 1, 1, 1), "nothing is downsampled: choose FullResolutionFCN"),
    ],
)
def test_wrong_strides_are_refused(strides: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(strides=strides)
