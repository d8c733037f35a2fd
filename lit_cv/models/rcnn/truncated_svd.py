"""Truncated SVD of fully connected layers after training (Fast R-CNN, Girshick 2015, section 3.1)."""

import copy

import torch
from torch import nn

from lit_cv.errors import UserError


def check_ranks(head: nn.Module, ranks: list[int]) -> None:
    """Refuse ranks that do not fit the fully connected layers of a head.

    Raises:
        UserError: The number of ranks is not the number of layers, or a rank is not between 1 and the smaller side of
            its layer.
    """
    limits = [min(layer.in_features, layer.out_features) for layer in _linear_layers(head)]
    if len(ranks) != len(limits) or not all(1 <= rank <= limit for rank, limit in zip(ranks, limits, strict=True)):
        rule = f"give one rank for each, at most {limits}" if limits else "set it to null"
        raise UserError(f"svd={list(ranks)}: the head has {len(limits)} fully connected layers; {rule}.")


def truncate_head(head: nn.Module, ranks: list[int]) -> nn.Module:
    """Copy a head and replace each of its fully connected layers by two, see ``truncate_linear``.

    Args:
        head: Any module; it is not changed.
        ranks: One rank for each of its ``nn.Linear``, in order.
    """
    # The memo holds the replaced layers, so that deepcopy does not copy their large weights.
    layers = _linear_layers(head)
    smaller = {id(layer): truncate_linear(layer, rank) for layer, rank in zip(layers, ranks, strict=True)}
    return copy.deepcopy(head, smaller)


@torch.no_grad()
def truncate_linear(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Replace a layer W (U x V) by two layers, V x rank without bias and rank x U with the bias (eq. 5).

    They keep the largest singular values of W. The cost falls from U V to rank (U + V) multiplications. The result is
    exact if ``rank`` is the rank of W.
    """
    left, values, right = torch.linalg.svd(layer.weight.float(), full_matrices=False)
    # On the meta device no random weights are sampled, so that predictions do not change the random state.
    first = nn.Linear(layer.in_features, rank, bias=False, device="meta")
    second = nn.Linear(rank, layer.out_features, bias=False, device="meta")
    first.weight = nn.Parameter((values[:rank, None] * right[:rank]).to(layer.weight.dtype))
    second.weight = nn.Parameter(left[:, :rank].to(layer.weight.dtype).contiguous())
    second.bias = layer.bias
    return nn.Sequential(first, second)


def _linear_layers(head: nn.Module) -> list[nn.Linear]:
    return [part for part in head.modules() if isinstance(part, nn.Linear)]
