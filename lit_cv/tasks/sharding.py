"""Training with parameters, gradients and optimizer states divided between the processes (FSDP2).

Private parts of Lightning (checked with 2.6; pyproject.toml has the upper bound): ``LightningModule._trainer`` and
``ModelParallelStrategy._data_parallel_size``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from lit_cv.errors import UserError

UNIT_PARAMETERS = 2**18  # layers with fewer parameters are gathered together with others


class FullySharded(ModelParallelStrategy):
    """``--trainer.strategy=fsdp2``: each process keeps its part of every parameter, gradient and optimizer state.

    Steps are those of DDP up to rounding. Checkpoints are those of DDP, one file each. Training steps gather the layers
    of the backbone one after another. Evaluation gathers the whole network once, because the processes may have
    different numbers of batches.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Divide between all processes; Lightning's default divides between the nodes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def on_validation_start(self) -> None:
        """Gather the network."""
        _gather(self.network)

    def on_validation_end(self) -> None:
        """Divide the network again."""
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


def shard_for_strategy(task: L.LightningModule, network: nn.Module) -> None:
    """Divide the network of a task between the processes if its trainer has the strategy ``fsdp2``."""
    if task._trainer is not None and isinstance(task.trainer.strategy, FullySharded):
        shard(network, task.trainer.strategy.device_mesh["data_parallel"])


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters of a network between the processes of ``mesh``; do nothing if they are divided already.

    The backbone is divided by its ``units``. The rest of the network is one unit around them, because its layers may be
    used without being called. Weights in the memory format ``channels_last``, which cannot be divided, are made
    contiguous.

    Raises:
        UserError: The network has no backbone.
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
    """Return the smallest modules with at least ``UNIT_PARAMETERS`` parameters, innermost first.

    The parameters of a unit inside a module do not count for that module.
    """
    found, taken = [], set[nn.Parameter]()
    for module in reversed(list(backbone.modules())):
        own = set(module.parameters()) - taken
        if type(module).forward is not nn.Module.forward and sum(part.numel() for part in own) >= UNIT_PARAMETERS:
            found.append(module)
            taken |= own
    return found


@contextmanager
def gathered(network: nn.Module) -> Iterator[None]:
    """Give every process the whole network inside a ``with`` block; do nothing if the network is not divided."""
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
