"""TIDE: six kinds of errors, and the AP that each of them costs.

Source: Bolya, Foley, Hays and Hoffman 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors",
arXiv:2008.08115, section 2. The definitions are those of the authors' implementation, tidecv 1.0.1; only ties of
scores may differ, which keep the order of the images here. Crowds are its ignore regions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.detection.matches import NOBODY, Detections, Flags, Floats, Integers
from lit_cv.analysis.detection.precision import mean_average_precision

FOREGROUND, BACKGROUND = 0.5, 0.1
KINDS: dict[str, str] = {
    "Cls": "a wrong class in the right place",
    "Loc": "the right class, badly placed",
    "Both": "wrong in class and place",
    "Dupe": "a second detection of an object",
    "Bkg": "background taken for an object",
    "Miss": "an object that no other error explains",
}
RIGHT, IGNORED = "", "ignored"


@dataclass(frozen=True)
class Errors:
    """The errors of all detections.

    Attributes:
        kinds: (M,) texts: the kind of error of each detection, empty for a true positive. Detections within crowds have
            one, too, because fixing it may make them true positives, but they are not in the AP.
        matched: int64 (M,), the target of each true positive, -1 for others.
        fixed: int64 (M,), the target that a ``Cls`` or ``Loc`` error finds if it is fixed; -1 if it vanishes instead.
        ignored: bool (M,), whether the detection is no true positive and lies within a crowd of its class.
        missed: bool (N,), whether the target is an error of the kind ``Miss``.
        unmatched: bool (N,), whether no detection is matched with the target; crowds are False.
    """

    kinds: NDArray[np.str_]
    matched: Integers
    fixed: Integers
    ignored: Flags
    missed: Flags
    unmatched: Flags

    def counts(self) -> dict[str, int]:
        """Return the number of errors of each kind."""
        found = {kind: int(np.count_nonzero(self.kinds == kind)) for kind in KINDS}
        return found | {"Miss": int(self.missed.sum())}


def find_errors(found: Detections) -> Errors:
    """Assign each wrong detection to a kind of error, and find the missed targets."""
    crowds = found.wanted["iscrowd"]
    matched = found.match(FOREGROUND, np.ones(len(found.rows), bool), found.same & ~found.crowd)
    inside = found.best(np.where(found.same & found.crowd, found.overlap, 0.0))[0] > FOREGROUND
    ignored = (matched == NOBODY) & inside
    used = np.zeros(len(crowds), bool)
    used[matched[matched != NOBODY]] = True

    alone = np.where(found.crowd, 0.0, found.overlap)
    same, own = found.best(np.where(found.same, alone, 0.0))
    other, others = found.best(np.where(found.same, 0.0, alone))
    again, _ = found.best(np.where(found.same & used[found.target], alone, 0.0))
    any_class, _ = found.best(alone)
    nothing = (
        np.bincount(found.wanted["image"][~crowds], minlength=int(found.image.max(initial=0)) + 1)[found.image] == 0
    )
    kinds = np.select(
        [
            matched != NOBODY,
            nothing,
            (same >= BACKGROUND) & (same <= FOREGROUND),
            other >= FOREGROUND,
            again >= FOREGROUND,
            any_class <= BACKGROUND,
        ],
        [RIGHT, "Bkg", "Loc", "Cls", "Dupe", "Bkg"],
        "Both",
    )
    wish = np.where(kinds == "Loc", own, np.where(kinds == "Cls", others, NOBODY))
    hopeful = np.flatnonzero(wish != NOBODY)
    hopeful = hopeful[~used[wish[hopeful]]]
    reachable, first = np.unique(wish[hopeful], return_index=True)  # of several errors, the highest score is fixed
    fixed = np.full(len(kinds), NOBODY)
    fixed[hopeful[first]] = reachable
    missed = ~crowds & ~used
    missed[reachable] = False
    return Errors(kinds, matched, fixed, ignored, missed, ~crowds & ~used)


def costs(found: Detections, errors: Errors) -> dict[str, float]:
    """Return the AP at IoU 0.5, and by how much it rises if one kind of error is fixed, all in [0, 1].

    Returns:
        ``AP``; the six kinds; ``FP``: all false positives at the end, and ``FN``: no target without a match.
    """
    objects = np.bincount(found.wanted["labels"][~found.wanted["iscrowd"]])
    right, seen = errors.matched != NOBODY, ~errors.ignored

    def ap(rows: Flags, hits: Flags, labels: Integers, counts: Integers, scores: Floats) -> float:
        by_class = {label: int(count) for label, count in enumerate(counts.tolist()) if count}
        return mean_average_precision(labels[rows], hits[rows], scores[rows], by_class)

    base = ap(seen, right, found.labels, objects, found.scores)
    values = {"AP": base}
    for kind in KINDS:
        own = errors.kinds == kind
        repaired = own & (errors.fixed != NOBODY)
        labels = found.labels.copy()
        labels[repaired] = found.wanted["labels"][errors.fixed[repaired]]
        counts = objects
        if kind == "Miss":
            counts = objects - np.bincount(found.wanted["labels"][errors.missed], minlength=len(objects))
        value = ap((seen & ~own) | repaired, right | repaired, labels, counts, found.scores)
        values[kind] = max(value - base, 0.0)
    values["FP"] = ap(seen, right, found.labels, objects, right.astype(np.float64)) - base
    left = objects - np.bincount(found.wanted["labels"][errors.unmatched], minlength=len(objects))
    values["FN"] = ap(seen, right, found.labels, left, found.scores) - base
    return values
