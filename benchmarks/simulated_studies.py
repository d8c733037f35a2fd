"""Simulate studies and count how often the report's intervals are right: coverage, family-wise error and power.

    python benchmarks/simulated_studies.py

A study has arms × seeds normal scores, the same effect of a seed on all arms, and in some designs one arm, or the
baseline, with four times the spread of the others. Each is analyzed as ``litcv report`` does it. Prints the table of
docs/report.md and writes benchmarks/results/simulated_studies.json.
"""

import argparse
import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

from lit_cv.ablation.statistics.comparisons import to_baseline
from lit_cv.ablation.statistics.pool import pool_cells

EFFECT = 2.0  # of the second arm, in spreads of an ordinary arm
SPREADS = {"equal": None, "one arm 4×": -1, "baseline 4×": 0}  # place of the arm with four times the spread


@dataclass(frozen=True)
class Result:
    """Shares of the studies of a design.

    Attributes:
        arms: Number of arms with the baseline.
        seeds: Number of seeds.
        spread: Which arm has four times the spread.
        coverage: All intervals of a study contain their true difference, with and without an effect of the second arm.
        family_error: Some interval of a study without any effect excludes 0.
        power: The interval of the arm with an effect excludes 0.
        power_paired: The same of Student's paired interval, Bonferroni-adjusted.
    """

    arms: int
    seeds: int
    spread: str
    coverage: float
    family_error: float
    power: float
    power_paired: float


def simulate(arms: int, seeds: int, spread: str, studies: int) -> Result:
    """Analyze studies of one design, each with other normal scores."""
    draw = np.random.default_rng([arms, seeds, list(SPREADS).index(spread)])
    noise = draw.standard_normal((2, studies, arms, seeds))
    if (place := SPREADS[spread]) is not None:
        noise[:, :, place] *= 4
    noise += draw.standard_normal((2, studies, 1, seeds))
    truth = np.zeros(arms)
    truth[1] = EFFECT
    bounds = np.array([[_bounds(study) for study in half] for half in (noise[0], noise[1] + truth[:, None])])
    truths = np.stack([np.zeros(arms - 1), truth[1:]])[:, None]
    low, high = np.moveaxis(bounds, 3, 0)
    shifts = noise[1, :, 1] + EFFECT - noise[1, :, 0]
    half = student.isf(0.025 / (arms - 1), seeds - 1) * shifts.std(1, ddof=1) / math.sqrt(seeds)
    return Result(
        arms,
        seeds,
        spread,
        coverage=float(np.mean(((low <= truths) & (truths <= high)).all(2))),
        family_error=float(np.mean(((low[0] > 0) | (high[0] < 0)).any(1))),
        power=float(np.mean(low[1, :, 0] > 0)),
        power_paired=float(np.mean(shifts.mean(1) - half > 0)),
    )


def _bounds(study: np.ndarray) -> list[tuple[float, float]]:
    found = [estimate.difference for estimate in to_baseline(pool_cells(study), 0) if estimate is not None]
    return [(difference.low, difference.high) for difference in found]


def table(results: list[Result]) -> str:
    """Return the results as Markdown, in percent."""
    lines = ["| arms | seeds | spread | coverage | family-wise error | power | power, paired t |", "|" + " --- |" * 7]
    for own in results:
        shares = (own.coverage, own.family_error, own.power, own.power_paired)
        lines.append(f"| {own.arms} | {own.seeds} | {own.spread} | {' | '.join(f'{100 * s:.1f}' for s in shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate every design, print and write the table."""
    from timing import write  # imported here because tests import this file as a module of a package

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies
    designs = [
        design
        for design in itertools.product((2, 4, 6), (3, 5, 10), SPREADS)
        if design[0] > 2 or design[2] != "baseline 4×"
    ]
    results = [simulate(*design, studies) for design in designs]
    print(table(results))
    write(
        "simulated_studies", {"studies": studies, "effect": EFFECT, "results": [asdict(result) for result in results]}
    )


if __name__ == "__main__":
    main()
