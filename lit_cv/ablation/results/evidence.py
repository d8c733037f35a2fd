"""The evidence of a table: for each arm its difference to the baseline, and whether it may be claimed."""

from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.intervals import Order
from lit_cv.ablation.statistics.comparisons import all_pairs, to_baseline
from lit_cv.ablation.statistics.difference import NO_CLAIM, Difference, Probability, Scores
from lit_cv.ablation.statistics.pool import Pool
from lit_cv.ablation.statistics.sign_flip import holm, sign_flip
from lit_cv.ablation.statistics.stein import of_first_stage
from lit_cv.ablation.statistics.superiority import superiority


@dataclass(frozen=True)
class Evidence:
    """The findings about one arm against the baseline; see the attributes of ``Row``."""

    difference: Difference | None = None
    p: float | None = None
    superiority: Probability | None = None
    claim: str | None = None


def evidence(
    pool: Pool,
    scores: Sequence[Scores],
    baseline: int,
    *,
    lost: Sequence[bool],
    maximize: bool,
    first: Sequence[int | None] = (),
) -> list[Evidence]:
    """Compare all arms with the baseline.

    Args:
        pool: The scores and their common spread.
        scores: Finite values of each arm by seed.
        baseline: Place of the baseline.
        lost: Whether each arm has seeds that diverged. Nothing is claimed about such an arm: the seeds that are left
            are a choice by their outcome.
        maximize: Whether a higher value is better.
        first: Seeds of the first of two stages, whose spread counted the others; empty without stages.
    """
    estimates = to_baseline(pool, baseline)
    if first:
        estimates = of_first_stage(estimates, scores, baseline, first)
    tested = [place for place, found in enumerate(estimates) if found is not None and found.n > 1]
    reference = scores[baseline]
    raw = [sign_flip([value - reference[seed] for seed, value in scores[place].items() if seed in reference])
           for place in tested]  # fmt: skip
    p = dict(zip(tested, holm(raw), strict=True))
    found = []
    for place, estimate in enumerate(estimates):
        if place == baseline:
            found.append(Evidence())
        elif estimate is None:
            found.append(Evidence(claim=NO_CLAIM))
        else:
            claim = estimate.difference.claim(maximize=maximize)
            claim = NO_CLAIM if lost[place] or lost[baseline] else claim
            found.append(Evidence(estimate.difference, p.get(place), superiority(estimate, maximize=maximize), claim))
    return found


def order(pool: Pool, places: Sequence[int], published: Sequence[float]) -> Order:
    """Compare the order of our arms with the published order, pair by pair, with Tukey's intervals of all pairs.

    Args:
        pool: The scores and their common spread.
        places: Places of the published arms.
        published: Published value of each of them, in any unit that increases with the metric.
    """
    values = dict(zip(places, published, strict=True))
    pairs = reproduced = contradicted = 0
    for (first, second), estimate in all_pairs(pool, places).items():
        if values[first] == values[second]:
            continue
        agrees = (values[second] - values[first]) * estimate.mean > 0
        pairs += 1
        reproduced += agrees and estimate.difference.beyond
        contradicted += not agrees and estimate.difference.beyond
    return Order(pairs, reproduced, contradicted)
