"""The matching of COCO's evaluation, compiled."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.compiled import compiled


@compiled
def match_groups(
    overlaps: NDArray[np.float64],
    pairs: NDArray[np.int64],
    found_ends: NDArray[np.int64],
    wanted_ends: NDArray[np.int64],
    ignored: NDArray[np.bool_],
    crowds: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Match predictions to targets within groups of one class and image (``COCOeval.evaluateImg``).

    In descending order of scores, a prediction takes the target with the highest overlap that is still free. Targets
    that count come before those that do not; crowds are never taken. Ties go to the last target.

    Args:
        overlaps: (pairs,), of each prediction with each target of its group, by group, prediction and target.
        pairs: (groups + 1,), where the pairs of each group start.
        found_ends: (groups + 1,), where its predictions start.
        wanted_ends: (groups + 1,), where its targets start.
        ignored: (N,), targets that do not count.
        crowds: (N,), targets that several predictions may have.
        outside: (M,), predictions that do not count unless they are matched.
        thresholds: (T,), lowest overlaps of a match.

    Returns:
        (T, M): 1 for a true positive, 0 for a false one, -1 for one that does not count.
    """
    states = np.zeros((len(thresholds), len(outside)), dtype=np.int8)
    for group in range(len(found_ends) - 1):
        start, stop = wanted_ends[group], wanted_ends[group + 1]
        targets = np.arange(start, stop)
        order = np.concatenate((targets[~ignored[start:stop]], targets[ignored[start:stop]]))
        for row in range(len(thresholds)):
            taken = np.zeros(stop - start, dtype=np.bool_)
            for k in range(found_ends[group], found_ends[group + 1]):
                offset = pairs[group] + (k - found_ends[group]) * (stop - start) - start
                highest, best = thresholds[row], -1
                for target in order:
                    if taken[target - start] and not crowds[target]:
                        continue
                    if best >= 0 and not ignored[best] and ignored[target]:
                        break
                    if overlaps[offset + target] >= highest:
                        highest, best = overlaps[offset + target], target
                if best >= 0:
                    taken[best - start] = True
                    states[row, k] = -1 if ignored[best] else 1
                elif outside[k]:
                    states[row, k] = -1
    return states
