"""Compiled networks compute the same, keep their names, and are told apart where times are compared."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_cv.errors import UserError, expected_failure
from lit_cv.models.compiling import compile_network, is_compiled, without_compilation
from lit_cv.models.images import ImageBatch
from lit_cv.models.network import OnePassNetwork
from lit_cv.runs.structure import structure


class Small(OnePassNetwork):
    """A convolution that counts the calls of its own Python code."""

    loss_names = ("mean",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.calls = nn.Conv2d(3, 2, 3), 0

    def forward(self, pixels: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.calls += 1
        return self.layer(pixels).tanh()

    def batch(self, images: list[Tensor]) -> ImageBatch:
        raise NotImplementedError

    def losses_of(self, outputs: Any, batch: ImageBatch, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        raise NotImplementedError

    found_in = losses_of


def test_compiled_network_computes_the_same_under_the_same_names() -> None:
    plain, pixels = Small(), torch.rand(2, 3, 8, 8)
    network = copy.deepcopy(plain)
    compile_network(network, "aot_eager")
    compile_network(network, "aot_eager")  # for each verb of one process
    assert list(network.state_dict()) == list(plain.state_dict())
    for module in (plain, network):
        module(pixels).sum().backward()
    torch.testing.assert_close(network.layer.weight.grad, plain.layer.weight.grad)
    assert (plain.calls, network.calls) == (1, 0)
    with without_compilation():
        network(pixels)
    assert network.calls == 1
    assert (is_compiled(plain), is_compiled(network), is_compiled(copy.deepcopy(network))) == (False, True, False)


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"model\.compile: max-autotun is no mode of torch.compile; did you mean max-auto"
    ):
        compile_network(Small(), "max-autotun")
    with pytest.raises(
        UserError, match=r"model\.compile: Linear has no backbone, the part that is compiled; set it to"
    ):
        compile_network(nn.Linear(1, 1), True)
    network = nn.Linear(1, 1)
    compile_network(network, False)
    assert not is_compiled(network)


def test_failing_compiler_is_one_sentence() -> None:
    def failing(*_: Any) -> Callable[..., Any]:
        raise RuntimeError("No working C++ compiler found")

    with pytest.raises(torch._dynamo.exc.TorchDynamoException) as raised:
        torch.compile(nn.Linear(1, 1), backend=failing)(torch.zeros(1, 1))
    assert str(expected_failure(raised.value)) == (
        "model.compile: torch.compile fails for this network here (backend='failing' raised: RuntimeError: "
        "No working C++ compiler found); set it to false."
    )


def test_times_of_compiled_networks_are_their_own() -> None:
    config, result = {"model.network.class_path": "a"}, {"params": 1}
    assert structure(config | {"model.compile": False}, result) == structure(config, result)
    assert structure(config | {"model.compile": True}, result) != structure(config, result)
    assert structure(config | {"model.compile": "default"}, result) != structure(config, result)
