"""Classes that one split has and another has not."""

from collections.abc import Mapping, Sequence

import numpy as np

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
        if split != "train" and (untaught := _listed(names, (held > 0) & (trained == 0))):
            found.append(f"{untaught} occur in {split} but never in train, so they cannot be learned: {fix}.")
        if split != "train" and divided and held.sum() and (unseen := _listed(names, (held == 0) & (trained > 0))):
            found.append(f"{unseen} occur in train but never in {split}, which data.split chose: {fix}.")
    if unused := _listed(names, sum(counts.values()) == 0):
        found.append(f"{unused} are listed but have no object in any split.")
    return found


def _listed(names: Sequence[str], chosen: np.ndarray) -> str:
    """Return the chosen names as the subject of a sentence; empty if there are none."""
    places = np.flatnonzero(chosen).tolist()
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return (
        f"The class{'es' * (len(places) > 1)} {', '.join(names[place] for place in places[:5])}{more}" if places else ""
    )
