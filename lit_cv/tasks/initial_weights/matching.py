"""Find the parts of a file of weights that fit a network, and load them."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import FrozenBatchNorm2d

from lit_cv.errors import UserError
from lit_cv.models import published
from lit_cv.models.network import ClassOrder, Network
from lit_cv.tasks.initial_weights.sources import Source

NEEDED = 0.5  # share of the backbone's values that a file must have
COUNTER = "num_batches_tracked"
UNNAMED = ("retinanet_resnet50_fpn", "fcn_resnet50")  # COCO's 91 labels and VOC's 21, recognized by their number


class Loaded(NamedTuple):
    """The result of loading.

    Attributes:
        share: Loaded share of the network's parameters and statistics, in [0, 1].
        fresh: Parameters that keep their random values, completely or for some classes.
        classes: Names of the classes whose outputs were copied one by one; None if the labels are the same.
        unused: Parts of the file that the network does not have.
    """

    share: float
    fresh: list[str]
    classes: list[str] | None
    unused: list[str]


class Labels(NamedTuple):
    """The labels of a network and of a file that both know.

    Attributes:
        counts: Number of labels of the network and of the file.
        same: Pairs of labels with one name.
        names: Their names, without the background.
    """

    counts: tuple[int, int]
    same: list[tuple[int, int]]
    names: list[str]


def load_source(network: Network, labels: Sequence[str], source: Source) -> Loaded:
    """Copy all values of a source that fit into a network.

    Args:
        network: Changed in place.
        labels: Names of the network's labels, the background first if there is one; empty if they are unknown.
        source: The weights.

    Raises:
        UserError: Less than half of the backbone fits.
    """
    own, theirs, orders = refuse_unfit(network, source)
    shared = _shared(labels, source.labels or _recognized(labels, own, theirs, orders))
    missing = dict[str, int]()
    with torch.no_grad():
        for name, value in own.items():
            copied = _copy(value, theirs.get(name), orders.get(name), shared)
            missing[name] = value.numel() - copied
    if source.frozen_eps is not None:
        _shift_variances(network, theirs, source.frozen_eps)
    return Loaded(
        share=1 - sum(missing.values()) / sum(value.numel() for value in own.values()),
        fresh=[name for name, count in missing.items() if count],
        classes=shared.names if shared and orders else None,
        unused=list(dict.fromkeys(name.partition(".")[0] for name in theirs if name not in own)),
    )


def refuse_unfit(
    network: Network, source: Source
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, ClassOrder]]:
    """Return a network's values, those of a source by the network's names, and the orders of the class layers.

    Raises:
        UserError: Less than half of the backbone fits.
    """
    own = {name: value for name, value in network.state_dict().items() if not name.endswith(COUNTER)}
    theirs = {published.renamed(name, own): value for name, value in source.state.items() if not name.endswith(COUNTER)}
    orders = {name: order for name in own if (order := _order(network, name))}
    _refuse_unfit(network, {name: value for name, value in own.items() if name not in orders}, theirs, source)
    return own, theirs, orders


def _order(network: Network, name: str) -> ClassOrder | None:
    return next((order for pattern, order in network.class_layers.items() if fnmatchcase(name, pattern)), None)


def _refuse_unfit(network: Network, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], source: Source) -> None:
    """Check that a file has most of the network's backbone, or of the whole network if it has none."""
    counted = _below("backbone.body.", own) or _below("backbone.", own) or own  # without the pyramid of a detector
    unfit = {name: value for name, value in counted.items() if name not in theirs or theirs[name].shape != value.shape}
    share = 1 - sum(value.numel() for value in unfit.values()) / sum(value.numel() for value in counted.values())
    if share < NEEDED:
        name, value = next(iter(unfit.items()))
        found = f"of shape {tuple(theirs[name].shape)}" if name in theirs else "missing"
        part = "backbone" if counted is not own else "network"
        raise UserError(
            f"model.initial_weights: {source.name} has {share:.0%} of the {part} of {type(network).__name__}, too "
            f"little to start from ({name} {tuple(value.shape)} is {found} there); give weights of a network with the "
            "same backbone, or null."
        )


def _below(prefix: str, own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {name: value for name, value in own.items() if name.startswith(prefix)}


def _recognized(
    labels: Sequence[str], own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], orders: Mapping[str, ClassOrder]
) -> Sequence[str] | None:
    """Return the published labels of an unnamed file with as many outputs, unless it has those of the network."""
    for name in orders:
        if name in theirs and theirs[name].shape != own[name].shape and labels:
            count = theirs[name].shape[0] * len(labels) / own[name].shape[0]
            known = map(published.classes_of, UNNAMED)
            return next((classes for classes in known if len(classes) == count), None)
    return None


def _shared(labels: Sequence[str], theirs: Sequence[str] | None) -> Labels | None:
    """Compare labels; None if they are the same or unknown."""
    if theirs is None or not labels:
        return None
    if published.BACKGROUND not in labels:
        theirs = [name for name in theirs if name != published.BACKGROUND]
    if list(labels) == list(theirs):
        return None
    ours, others = _plain(labels), _plain(theirs)
    if ours == others:
        return None
    places = {name: place for place, name in enumerate(others) if theirs[place] != published.UNUSED}
    same = [(place, places[name]) for place, name in enumerate(ours) if name in places]
    names = [labels[place] for place, _ in same if labels[place] != published.BACKGROUND]
    return Labels((len(labels), len(theirs)), same if names else [], names)


def _plain(labels: Sequence[str]) -> list[str]:
    """Return labels without differences of letters, spaces and synonyms, unless that makes two of them equal."""
    plain = [re.sub(r"[\s_-]", "", name.casefold()) for name in labels]
    plain = [published.SYNONYMS.get(name, name) for name in plain]
    named = [name for name, label in zip(plain, labels, strict=True) if label != published.UNUSED]
    return plain if len(set(named)) == len(named) else list(labels)


def _copy(value: Tensor, given: Tensor | None, order: ClassOrder | None, shared: Labels | None) -> int:
    """Copy a parameter, or its parts of the classes that both know; return the number of values copied."""
    if given is None:
        return 0
    if order is None or shared is None:
        if given.shape != value.shape:
            return 0
        value.copy_(given)
        return value.numel()
    ours, theirs = (_by_class(one, count, order) for one, count in zip((value, given), shared.counts, strict=True))
    if ours is None or theirs is None or ours[0].shape != theirs[0].shape or not shared.same:
        return 0
    for place, other in shared.same:
        ours[place].copy_(theirs[other])
    return len(shared.same) * ours[0].numel()


def _by_class(value: Tensor, count: int, order: ClassOrder) -> Tensor | None:
    """Return a view of a class layer whose first dimension are the classes; None if it has other classes."""
    if order == "whole" or not value.dim() or value.shape[0] % count:
        return None
    shape = value.shape[1:]
    return value.view(count, -1, *shape) if order == "first" else value.view(-1, count, *shape).transpose(0, 1)


def _shift_variances(network: Network, theirs: Mapping[str, Tensor], eps: float) -> None:
    """Correct the variances of frozen norms for the constant that is added to them where the weights come from."""
    for name, norm in network.named_modules():
        if isinstance(norm, FrozenBatchNorm2d) and f"{name}.running_var" in theirs:
            norm.running_var.add_(eps - norm.eps)
