"""Statistics of joints: how many are labeled, and the sizes of the people."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.joints import HIDDEN
from datamodules.pose.packed_poses import PackedPoses
from datamodules.statistics.boxes import point_map
from datamodules.statistics.charts import Bars, Chart, Fact, HeatMap, Numbers, Statistics, log_histogram, mean, together


def joint_statistics(flags: Mapping[str, NDArray[np.float32]], joint_names: Sequence[str]) -> Statistics:
    """Return the statistics of the flags of the joints of each split.

    Args:
        flags: float32 (P, K): 0 not labeled, 1 labeled but hidden, 2 labeled and visible.
        joint_names: The K names.
    """
    people = {name: found[(found > 0).any(axis=1)] for name, found in flags.items()}
    labeled = {name: (found > 0).sum(axis=0).astype(np.float64) for name, found in people.items()}
    hidden = {name: (found == HIDDEN).sum(axis=0).astype(np.float64) for name, found in people.items()}
    bases = {name: len(found) for name, found in people.items()}
    bars = [
        Bars(
            "Labeled joints", "People whose joint is labeled, and share of those with any.", joint_names, labeled, bases
        )
    ]
    if any(found.any() for found in hidden.values()):
        about = "People whose joint is labeled as hidden, and share of those with any joint."
        bars.append(Bars("Hidden joints", about, joint_names, hidden, bases))
    facts = [
        Fact("people with labeled joints", bases),
        Fact("labeled joints of a person, mean", {n: mean((f > 0).sum(axis=1)) for n, f in people.items()}, "number"),
    ]
    never = {name: [joint_names[k] for k in np.flatnonzero(found == 0).tolist()] for name, found in labeled.items()}
    findings = [f"{name} never labels {', '.join(found)}." for name, found in never.items() if found]
    return Statistics(facts, [*bars], findings)


def pose_statistics(splits: Mapping[str, PackedPoses], joint_names: Sequence[str]) -> Statistics:
    """Return the statistics of data sets whose samples are single people."""
    flags = {name: packed.joints[..., 2] for name, packed in splits.items()}
    sides = {name: packed.sides.astype(np.float64) for name, packed in splits.items()}
    heads = {name: packed.head_sizes.astype(np.float64) for name, packed in splits.items()}
    torsos = {name: packed.torso_sizes.astype(np.float64) for name, packed in splits.items()}
    charts: list[Chart] = [
        log_histogram("Size of the people", "Side of the square crop of a person, in pixels.", sides, 4, 11),
        log_histogram("Size of the heads", "Size of the head that PCKh divides by, in pixels.", heads, 1, 9),
        log_histogram("Size of the torsos", "Size of the torso that PDJ divides by, in pixels.", torsos, 1, 10),
        HeatMap(
            "Places of the joints",
            "Place of the labeled joints in the crop of their person; the darker, the more of them.",
            {name: point_map(_in_crop(packed)) for name, packed in splits.items()},
        ),
    ]
    return together(joint_statistics(flags, joint_names), Statistics([], charts, []))


def _in_crop(packed: PackedPoses) -> Numbers:
    """Return the labeled joints as shares of their crop, (P, 2)."""
    places = (packed.joints[..., :2] - packed.centers[:, None]) / packed.sides[:, None, None] + 0.5
    labeled: Numbers = places[packed.joints[..., 2] > 0].astype(np.float64)
    return labeled
