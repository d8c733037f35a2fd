import pytest
import torch
from torch import Tensor, nn

from lit_cv.bench import measure


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.body[1].eval()
        self.body[1].requires_grad_(False)
        self.calls: list[tuple[int, bool, bool]] = []

    def predict(self, images: list[Tensor]) -> Tensor:
        self.calls.append((len(images), self.training, torch.is_grad_enabled()))
        return self.body(torch.stack(images).float())


def test_arithmetic_of_a_convolution_equals_the_formula_and_the_network_is_as_before() -> None:
    network = Convolution()
    cost = measure(network, [torch.zeros(3, 16, 20, dtype=torch.uint8), torch.zeros(3, 32, 20, dtype=torch.uint8)], 5)
    pixels = (16 * 20 + 32 * 20) / 2
    assert cost.gflops == pytest.approx(2 * pixels * 8 * 3 * 3 * 3 / 1e9)
    assert (cost.params, cost.trainable_params) == (3 * 8 * 9 + 16, 3 * 8 * 9)
    assert 0 < cost.seconds_per_image < 1
    assert network.calls == [(1, False, False)] * 7
    assert network.training
    assert network.body.training
    assert not network.body[1].training


def test_the_network_is_as_before_when_predict_fails() -> None:
    network = Convolution()
    with pytest.raises(RuntimeError):
        measure(network, [torch.zeros(4, 16, 16, dtype=torch.uint8)])
    assert network.training
    with pytest.raises(ValueError, match="needs an image"):
        measure(network, [])
