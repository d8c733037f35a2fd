"""The columns of a table over images: differences paired by resample, over images alone and with the seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lit_cv.ablation.images.crossed import Deviations, Part, over_both, over_images
from lit_cv.ablation.images.kept import Resample, collect
from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.comparisons import to_baseline
from lit_cv.ablation.statistics.critical import dunnett
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.runs.resamples import RESAMPLES, Resamples

FINITE = 1e4  # degrees of freedom from which Student's t is taken as the normal distribution


@dataclass(frozen=True)
class Pair:
    """An arm beside the baseline on resampled images.

    Attributes:
        row: The arm.
        mean: Difference of the means over the seeds that both have.
        found: Deviations of this difference.
        seeds: Variance of the difference over seeds.
    """

    row: Row
    mean: float
    found: Deviations
    seeds: Part | None

    @property
    def images_dominate(self) -> bool:
        """Whether the choice of images moves the difference more than that of the seeds."""
        return self.seeds is not None and self.found.of_images.variance > self.seeds.variance


def with_images(table: Table, asked: bool | None, resample: Resample) -> tuple[Table, list[str]]:
    """Return the table with ``images`` and ``combined``, and notes about them.

    Args:
        table: The table.
        asked: Whether to resample runs that were not yet; None: if it is little work.
        resample: See ``Resample``.
    """
    if all(row.difference is None for row in table.rows):
        return table, []
    kept = collect(table, asked, resample)
    images = min((one.images for one in kept.by_run.values()), default=0)
    reason = kept.reason if images != 1 else "there is one validation image."
    pairs = [] if reason else _pairs(table, kept.by_run)
    if not pairs:
        return table, [f"Over images: no intervals, because {reason or 'no resample has anything to evaluate.'}"]
    over = over_images([pair.mean for pair in pairs], [pair.found for pair in pairs])
    own = {id(pair.row): (pair, interval) for pair, interval in zip(pairs, over, strict=True)}
    rows = [_filled(row, *own[id(row)], len(pairs)) if id(row) in own else row for row in table.rows]
    notes = [_explained(images, len(pairs)), *_incomplete(kept.by_run.values()), *_dominating(table, images, pairs)]
    return replace(table, rows=rows), notes


def _pairs(table: Table, found: Mapping[Path, Resamples]) -> list[Pair]:
    """Return the arms that share seeds with the baseline."""
    baseline = next(row for row in table.rows if row.arm is table.baseline)
    pairs = []
    for row, part in zip(table.rows, _seed_parts(table), strict=True):
        seeds = [seed for seed in row.scores if seed in baseline.scores]
        if row is baseline or row.difference is None or not seeds:
            continue
        own, other = ([found[arm.runs[seed].folder] for seed in seeds] for arm in (row.arm, baseline.arm))
        values = np.array([a.values - b.values for a, b in zip(own, other, strict=True)])
        whole = np.array([a.whole - b.whole for a, b in zip(own, other, strict=True)])
        pairs.append(Pair(row, float(whole.mean()), Deviations(values - whole[:, None], own[0].images), part))
    # a resample without anything to evaluate is one for all runs, which have the same images
    usable = np.all([np.isfinite(pair.found.by_seed).all(axis=0) for pair in pairs], axis=0)
    if not np.any(usable):
        return []
    return [replace(pair, found=replace(pair.found, by_seed=pair.found.by_seed[:, usable])) for pair in pairs]


def _seed_parts(table: Table) -> list[Part | None]:
    """Return the variance of each row's difference over seeds, as the table estimates it; None without an interval."""
    baseline = next(place for place, row in enumerate(table.rows) if row.arm is table.baseline)
    estimates = to_baseline(table.pool, baseline)
    return [Part(one.error**2, one.df) if one and math.isfinite(one.error) else None for one in estimates]


def _filled(row: Row, pair: Pair, over: Difference, arms: int) -> Row:
    both = None
    if pair.seeds and row.difference and math.isfinite(row.difference.low):
        least = max((one.high - one.low) / 2 for one in (row.difference, over))
        mean = row.difference.mean
        both = over_both(mean, pair.seeds, pair.found, lambda df: _critical(df, arms), least)
    return replace(row, images=over, combined=both)


def _critical(df: float, arms: int) -> float:
    """Return half an interval in standard errors, for all of some arms together.

    It is Dunnett's value for correlations of 0.5, those of complete blocks, at the next lower whole degrees of freedom.
    """
    return dunnett(0.5 * (np.eye(arms) + 1), int(max(1.0, min(df, FINITE))))


def _explained(images: int, arms: int) -> str:
    together = f", at 95 % for all {arms} arms together" if arms > 1 else ""
    return (
        f"Over images: the runs as they are, on {RESAMPLES:,} resamples of the {images:,} validation images, the same "
        f"resamples for all runs{together}. Over seeds and images: new runs on new images."
    )


def _incomplete(found: Iterable[Resamples]) -> list[str]:
    """Say how many resamples lack a class or all of them."""
    every = list(found)
    lost, nothing = max(one.incomplete for one in every), max(int(np.isnan(one.values).sum()) for one in every)
    notes = []
    if lost:
        notes.append(
            f"{lost:,} of the {RESAMPLES:,} resamples lack every object of some class; the mean is then over the "
            "classes that are there, as in pycocotools."
        )
    if nothing:
        notes.append(f"{nothing:,} of the {RESAMPLES:,} resamples have nothing to evaluate and are left out.")
    return notes


def _dominating(table: Table, images: int, pairs: Sequence[Pair]) -> list[str]:
    """Name a small test set where it moves a difference more than the seeds do."""
    moved = [pair for pair in pairs if pair.images_dominate]
    if not moved:
        return []
    pair = max(moved, key=lambda pair: pair.found.of_images.variance)
    numbers = [scaled(table, math.sqrt(part.variance)) for part in (pair.found.of_images, pair.seeds) if part]
    where = f"arm {pair.row.arm.label}" if len(moved) == 1 else f"in {len(moved)} of {len(pairs)} arms, for example "
    where += "" if len(moved) == 1 else pair.row.arm.label
    return [
        f"{images:,} validation images: the choice of images moves the difference more than the seed does (standard "
        f"errors ± {numbers[0]} against ± {numbers[1]}, {where}). More images would narrow it, more seeds hardly."
    ]
