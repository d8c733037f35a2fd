"""The words of a report about its statistics: where the intervals come from, and why something is not claimed."""

from collections.abc import Sequence

import numpy as np

from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.pool import FEW_SEEDS, OWN_LEVEL, OWN_LEVEL_OF_FEW
from lit_cv.ablation.statistics.sign_flip import FLIPS, MOST_EXACT, SMALLEST, smallest_p


def statistics_notes(table: Table) -> list[str]:
    """Return the sentences about intervals, spread, sign-flip test and claims, in the order of the columns."""
    compared = [row for row in table.rows if row.difference is not None]
    if not compared:
        return _without_comparison(table)
    texts = [f"Δ: difference to the baseline, paired by seed. {_about_interval(table, compared)}"]
    texts += [text for text in (_about_own_spread(table), _about_missing_seeds(table)) if text]
    texts += _about_lost(table)
    if any(row.superiority for row in compared):
        texts.append(
            "Better on a new seed: probability that the arm beats the baseline if both are trained with one new seed; "
            "its interval has the level of Δ's, so that it excludes 50% exactly where that excludes 0."
        )
    if any(row.p is not None for row in compared):
        texts.append(_about_sign_flip(compared))
    return texts


def _without_comparison(table: Table) -> list[str]:
    if len(table.rows) < 2:
        return ["There is one arm, so nothing is compared."] if table.rows else []
    return ["No arm shares a seed with a finite value with the baseline, so there is no difference and no claim."]


def _about_interval(table: Table, compared: Sequence[Row]) -> str:
    count, fit = len(compared), table.pool.fit
    if table.search:
        return "A search has one run of each arm, so no Δ has an interval and nothing is claimed."
    if not any(row.difference and row.difference.n > 1 for row in compared) and fit.df <= 0:
        return "One seed shows no spread, so no Δ has an interval and there is no claim; run two more seeds at least."
    if not fit.has_spread and fit.df > 0:
        return (
            "The arms differ by the same amount in every seed, so there is no spread to judge a difference by, and no "
            "claim; look whether the seed has an effect."
        )
    if fit.df <= 0:
        return "The shared seeds are too few for an interval, so there is no claim."
    if count == 1:
        adjusted = "Its 95 % interval is that of the paired differences"
    else:
        adjusted = f"Its interval is Dunnett's: all {count} hold together in 95 % of studies, each on its own in more"
    return (
        f"{adjusted}. It rests on the spread that is left in all scores after the effects of arm and seed ({fit.df} "
        "degrees of freedom), and on the assumption that this spread is normal and equal in all arms. The claim is "
        "better or worse where the interval excludes 0, for new seeds on these data; else no claim."
    )


def _about_own_spread(table: Table) -> str:
    marked = [row for row, own in zip(table.rows, table.pool.own, strict=True) if own]
    if not marked:
        return ""
    level = OWN_LEVEL_OF_FEW if table.pool.table.shape[1] < FEW_SEEDS else OWN_LEVEL
    named = few(f"'{row.arm.label}'" for row in marked)
    reach = "its Δ has" if len(marked) == 1 else "their Δ have"
    if any(row.arm is table.baseline for row in marked):
        reach = "every Δ has"
    return (
        f"Own spread: the scores of {named} vary more over the seeds than those of the other arms (F test of the "
        f"residuals, p < {level:g}), so {reach} Student's interval of the arm's own paired differences, Bonferroni-"
        "adjusted for the number of arms compared and never narrower than that of the common spread."
    )


def _about_missing_seeds(table: Table) -> str:
    known = np.isfinite(table.pool.table)
    if known.all():
        return ""
    alone = [row for row in table.rows if row.scores and row.difference is None and row.arm is not table.baseline]
    text = "Some arms lack seeds: their Δ are least-squares estimates from the runs that exist."
    if alone:
        named = few(f"'{row.arm.label}'" for row in alone)
        text += f" No seed is shared with the baseline by {named}, so there is no difference and no claim."
    return text


def _about_lost(table: Table) -> list[str]:
    lost = [row for row in table.rows if row.diverged]
    if not lost:
        return []
    if any(row.arm is table.baseline for row in lost):
        return ["Seeds of the baseline have diverged, so there is no claim at all: those left are chosen by outcome."]
    named = few(f"'{row.arm.label}'" for row in lost)
    return [f"There is no claim about {named}: seeds have diverged, and those left are chosen by their outcome."]


def _about_sign_flip(compared: Sequence[Row]) -> str:
    counts = sorted({row.difference.n for row in compared if row.difference and row.p is not None})
    count, tested = counts[-1], sum(row.p is not None for row in compared)
    how = "" if count <= MOST_EXACT else f" ({FLIPS:,} random flips with a fixed seed above {MOST_EXACT} seeds)"
    text = f"Sign-flip p: two-sided, by flips of the signs of the paired differences{how}, for any distribution"
    text += f"; Holm-adjusted for {tested} comparisons." if tested > 1 else "."
    bound, alone = smallest_p(count, tested), smallest_p(count)
    if bound <= SMALLEST:
        return text
    adjusted = f", after Holm's adjustment for {tested} comparisons never below {bound:.2g}" if tested > 1 else ""
    if alone > SMALLEST:
        adjusted = ""
    return (
        f"{text} With {count} seeds the exact sign-flip p is never below {alone:.2g}{adjusted}, so this test cannot "
        f"reach {SMALLEST} and claims nothing; the interval rests on the assumption of normal residuals of equal "
        "spread in all arms."
    )
