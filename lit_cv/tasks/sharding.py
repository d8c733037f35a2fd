"""Training whose parameters, gradients and optimiser states are divided between the processes (FSDP2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from lit_cv.errors import UserError

UNIT_PARAMETERS = 2**18  # layers with fewer travel together


class FullySharded(ModelParallelStrategy):
    """``--trainer.strategy=fsdp2``: each process keeps its part of every parameter, gradient and optimiser state.

    Steps are those of DDP up to rounding, and so are the checkpoints, one file each. Training steps gather the layers
    of the backbone one after another. Evaluation gathers the whole network once, for not every process has equally many
    batches.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Divide by all processes; Lightning's default divides by the nodes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def on_validation_start(self) -> None:
        """Gather the network."""
        _gather(self.network)

    def on_validation_end(self) -> None:
        """Divide it again."""
        _divide(self.network)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    @property
    def network(self) -> nn.Module:
        """The task's network."""
        assert self.lightning_module is not None
        network: nn.Module = self.lightning_module.network  # type: ignore[assignment]
        return network


StrategyRegistry.register("fsdp2", FullySharded, description="parameters divided between the processes")


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters of a network between the processes of ``mesh``, once.

    The backbone is divided by its ``units``; the rest of the network, whose layers need not be called as modules, is
    one unit around them. Weights of ``channels_last`` are made contiguous; others cannot be divided.

    Raises:
        UserError: the network has no backbone.
    """
    if isinstance(network, FSDPModule):
        return
    if not hasattr(network, "backbone"):
        raise UserError(f"trainer.strategy=fsdp2 divides backbones, and {type(network).__name__} has none; take ddp.")
    network.to(memory_format=torch.contiguous_format)
    for unit in [*units(network.get_submodule("backbone")), network]:
        fully_shard(unit, mesh=mesh)
    register_fsdp_forward_method(network, "losses")


def units(backbone: nn.Module) -> list[nn.Module]:
    """List the smallest modules with ``UNIT_PARAMETERS`` besides those of the units within them, innermost first."""
    found, taken = [], set[nn.Parameter]()
    for module in reversed(list(backbone.modules())):
        own = set(module.parameters()) - taken
        if type(module).forward is not nn.Module.forward and sum(part.numel() for part in own) >= UNIT_PARAMETERS:
            found.append(module)
            taken |= own
    return found


@contextmanager
def gathered(network: nn.Module) -> Iterator[None]:
    """Give every process the whole network for the length of a ``with`` block; nothing where it is not divided."""
    _gather(network)
    try:
        yield
    finally:
        _divide(network)


def _gather(network: nn.Module) -> None:
    for module in _divided(network):
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()


def _divide(network: nn.Module) -> None:
    for module in reversed(_divided(network)):
        module.reshard()
        module.set_reshard_after_forward(True, recurse=False)


def _divided(network: nn.Module) -> list[FSDPModule]:
    return [module for module in network.modules() if isinstance(module, FSDPModule)]
