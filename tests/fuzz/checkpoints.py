"""Mutations of checkpoints: of the file, of the zip archive in it, and of the tree of tensors and values in that."""

import copy
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz.mutations import spoiled_bytes, spoiled_tree


def spoil_checkpoint(rng: Random, file: Path) -> None:
    """Mutate a checkpoint."""
    way = rng.random()
    if way < 0.25:
        file.write_bytes(spoiled_bytes(rng, file.read_bytes()))
    elif way < 0.45:
        _spoil_member(rng, file)
    else:
        _spoil_content(rng, file)


def _spoil_member(rng: Random, file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    chosen = rng.randrange(len(members))
    if rng.random() < 0.6:
        chosen = next(place for place, (name, _) in enumerate(members) if name.endswith("data.pkl"))
    name, data = members[chosen]
    members[chosen : chosen + 1] = rng.choice(
        ([], [(name, spoiled_bytes(rng, data))], [(name, spoiled_bytes(rng, data))])
    )
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)


def _spoil_content(rng: Random, file: Path) -> None:
    tree = torch.load(file, weights_only=True)
    if rng.random() < 0.4:
        weights = tree["state_dict"]
        weights[rng.choice(sorted(weights))] = _other_tensor(rng, weights[rng.choice(sorted(weights))])
    else:
        try:
            tree = spoiled_tree(rng, tree)
        except TypeError:  # a key of a mapping that Python cannot sort or hash
            del tree[rng.choice(sorted(tree))]
    torch.save(_plain(tree), file)


def _other_tensor(rng: Random, tensor: torch.Tensor) -> Any:
    return rng.choice(
        (
            tensor * float("nan"),
            tensor[:1],
            tensor.half(),
            tensor.to(torch.int64),
            tensor[None],
            torch.zeros(0),
            3,
            "x",
            None,
        )
    )


def _plain(tree: Any) -> Any:
    """Return the tree with plain texts, which a checkpoint can hold."""
    if isinstance(tree, dict):
        return {str.__str__(key) if isinstance(key, str) else key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(_plain, tree)) if type(tree) in (list, tuple) else copy.copy(tree)
    return str.__str__(tree) if isinstance(tree, str) else tree
