"""Classes that one split has and another lacks."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import PackedBoxes


def class_gaps(splits: Mapping[str, PackedBoxes], names: Sequence[str], divided: bool) -> list[str]:
    """Return sentences about classes that are evaluated but not trained on, or that have no object at all.

    Args:
        splits: The opened splits.
        names: Names of labels 1..C.
        divided: Whether ``data.split`` has made the splits.
    """
    counts = {split: np.bincount(packed.labels, minlength=len(names) + 1)[1:] for split, packed in splits.items()}
    trained = counts.get("train")
    if trained is None:
        return []
    fix = "choose another data.split.seed or share" if divided else "move some of their pictures"
    found = []
    for split, held in counts.items():
        if split == "train":
            continue
        if untaught := _listed(names, (held > 0) & (trained == 0)):
            found.append(
                f"Classes of {split} without an object in train, so they cannot be learned: {untaught}; {fix}."
            )
        if divided and held.sum() and (unseen := _listed(names, (held == 0) & (trained > 0))):
            found.append(f"Classes of train without an object in {split}, which data.split chose: {unseen}; {fix}.")
    if unused := _listed(names, np.sum(list(counts.values()), axis=0) == 0):
        found.append(f"Classes without an object in any split: {unused}.")
    return found


def _listed(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    places = np.flatnonzero(chosen).tolist()
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ", ".join(names[place] for place in places[:5]) + more
