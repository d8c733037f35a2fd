"""A mean that does not depend on the order of its terms."""

import math

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric


class ExactMean(Metric):
    """Weighted mean over all processes, bit-identical for any number of processes.

    A sum of floats depends on the order of its terms. This sum is rounded only once, at the end (``math.fsum``).
    ``compute`` is a collective call when torch.distributed is initialized. It returns NaN if no rank has a value.
    """

    full_state_update = False
    is_differentiable = False
    values: list[Tensor]
    weights: list[Tensor]

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.add_state("values", default=[])
        self.add_state("weights", default=[])

    def update(self, value: Tensor, weight: int) -> None:
        """Add a scalar with its weight."""
        self.values.append(value.detach())
        self.weights.append(torch.tensor(weight))

    def compute(self) -> float:
        """Return the mean of the values added on all ranks since the last reset."""
        values = torch.stack(self.values).tolist() if self.values else []
        own = list(zip(values, torch.tensor(self.weights).tolist(), strict=True))
        ranks = [own]
        if dist.is_available() and dist.is_initialized():
            ranks = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(ranks, own)
        terms = [term for part in ranks for term in part]
        total = sum(weight for _, weight in terms)
        return math.fsum(value * weight for value, weight in terms) / total if total else math.nan
