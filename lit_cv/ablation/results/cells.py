"""The table of a report as text: its cells, Markdown and CSV."""

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.difference import BETTER, NO_CLAIM, WORSE, Difference, Probability
from lit_cv.ablation.sweep.labels import level
from lit_cv.runs.settings import plain

NOTHING = "–"
STOPS = "stopped early"
EVIDENCE = ("own_spread", "sign_flip_p", "superiority", "superiority_low", "superiority_high", "claim")  # in the CSV
CLAIMS = (WORSE, NO_CLAIM, BETTER)  # in the order they are sorted


@dataclass(frozen=True)
class Column:
    """A column of the table after the factors.

    Attributes:
        name: Header.
        text: Returns the cell of a row.
        number: Returns the number that the cell is sorted by; None or NaN if it is missing.
    """

    name: str
    text: Callable[[Row], str]
    number: Callable[[Row], float | None]


def columns(table: Table) -> list[Column]:
    """Return the columns after the factors; optional ones only where some row has a value for them."""
    return [
        Column(table.title, partial(score, table), lambda row: row.mean),
        Column(difference_title(table), partial(difference, table), partial(_change, table)),
        *_optional(table, "claim", claim, lambda row: CLAIMS.index(row.claim) if row.claim else None),
        *_over(table, "over images [95 %]", lambda row: row.images),
        *_over(table, "over seeds and images [95 %]", lambda row: row.combined),
        *_optional(
            table, "better on a new seed", better, lambda row: row.superiority.value if row.superiority else None
        ),
        *_optional(table, "sign-flip p", p_value, lambda row: row.p),
        *([Column(STOPS, stops, lambda row: len(row.stops))] if table.stopped_early else []),
        *_optional(table, "published", published, lambda row: row.published),
        Column(
            "params", lambda row: "–" if row.params is None else f"{row.params / 1e6:.1f} M", lambda row: row.params
        ),
        Column("GFLOPs", lambda row: _number(row.gflops, ".1f"), lambda row: row.gflops),
        Column("ms/image", milliseconds, lambda row: row.ms),
        Column("GB", lambda row: _number(row.gigabytes, ".2f"), lambda row: row.gigabytes),
    ]


def _optional(
    table: Table, name: str, text: Callable[[Row], str], number: Callable[[Row], float | None]
) -> list[Column]:
    """Return a column if some row has a number for it."""
    return [Column(name, text, number)] if any(number(row) is not None for row in table.rows) else []


def _over(table: Table, name: str, gap: Callable[[Row], Difference | None]) -> list[Column]:
    """Return a column of intervals if some row has one."""

    def text(row: Row) -> str:
        found = gap(row)
        return NOTHING if found is None else bounds(table, found)

    def number(row: Row) -> float | None:
        found = gap(row)
        return None if found is None else found.low

    return _optional(table, name, text, number)


def cells(table: Table) -> list[list[str]]:
    """Return the header and the rows as text."""
    shown = columns(table)
    header = [*table.names.values(), *(column.name for column in shown)]
    lines = [[level(key, row.arm.values[key]) for key in table.names] for row in table.rows]
    return [
        header,
        *([*line, *(column.text(row) for column in shown)] for line, row in zip(lines, table.rows, strict=True)),
    ]


def difference_title(table: Table) -> str:
    """Return the header of the differences: it names the level of the intervals and the number of comparisons."""
    compared = sum(row.difference is not None for row in table.rows)
    return "Δ to baseline [95 %]" if compared < 2 else f"Δ to baseline [95 %, {compared} arms compared]"


def _change(table: Table, row: Row) -> float | None:
    return 0.0 if row.arm is table.baseline else row.difference.mean if row.difference else None


def better(row: Row) -> str:
    """Return ``97% [61%, >99%]``: the probability of being better on a new seed, with its interval."""
    if row.superiority is None:
        return NOTHING
    value, low, high = map(_chance, (row.superiority.value, row.superiority.low, row.superiority.high))
    return f"{value} [{low}, {high}]"


def _chance(value: float) -> str:
    return "<1%" if value < 0.005 else ">99%" if value > 0.995 else f"{value:.0%}"


def p_value(row: Row) -> str:
    """Return the sign-flip p with two digits, such as ``0.25`` or ``<0.001``."""
    return NOTHING if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.2g}"


def claim(row: Row) -> str:
    """Return ``better``, ``worse`` or ``no claim``; ``–`` for the baseline."""
    return row.claim or NOTHING


def score(table: Table, row: Row) -> str:
    """Return ``41.2 ± 0.4`` in percent or ``0.2512 ± 0.0031`` as logged; the spread of one seed is ``–``.

    A number of seeds that is not the study's and diverged seeds are added: ``(n=2), diverged (1 of 3 seeds)``.
    """
    parts = []
    if row.scores:
        spread = NOTHING if math.isnan(row.std) else scaled(table, row.std)
        parts.append(f"{scaled(table, row.mean)} ± {spread}{_count(table, len(row.scores))}")
    if row.diverged:
        parts.append(f"diverged ({row.diverged} of {len(row.values)} seeds)")
    return ", ".join(parts) or NOTHING


def change(table: Table, found: Difference) -> str:
    """Return ``+3.7 [+2.9, +4.5]``; without an interval ``+3.7 –``.

    ``own spread`` marks an interval that is not from the common spread, ``(n=2)`` that not all seeds are paired.
    """
    marked = " own spread" if found.own_variance else ""
    return f"{scaled(table, found.mean, '+')} {bounds(table, found)}{marked}{_count(table, found.n)}"


def difference(table: Table, row: Row) -> str:
    """Return the difference to the baseline with its interval; see ``change``."""
    if row.arm is table.baseline:
        return "baseline"
    return NOTHING if row.difference is None else change(table, row.difference)


def bounds(table: Table, found: Difference) -> str:
    """Return ``[+2.9, +4.5]``, or ``–`` without an interval."""
    low, high = (scaled(table, bound, "+") for bound in (found.low, found.high))
    return NOTHING if math.isnan(found.low) else f"[{low}, {high}]"


def _count(table: Table, seeds: int) -> str:
    return "" if seeds == table.seeds else f" (n={seeds})"


def stops(row: Row) -> str:
    """Return ``2 of 3 at step 40–60``, the runs that ended before their budget and when; ``–`` for none."""
    if not row.stops:
        return NOTHING
    first, last = row.stops[0], row.stops[-1]
    return f"{len(row.stops)} of {len(row.arm.runs)} at step {first}" + (f"–{last}" if last > first else "")


def published(row: Row) -> str:
    """Return ``67.2 ± 0.2``, the published number and its deviation; ``66.9`` if its source gives no deviation."""
    numbers = [format(value, ".1f") for value in (row.published, row.published_std) if value is not None]
    return " ± ".join(numbers) or NOTHING


def milliseconds(row: Row) -> str:
    """Return ``12.7`` or, if the measurements differ, ``12.7–46.0``: the shortest and the longest."""
    if row.time is None:
        return NOTHING
    low, high = f"{row.time.low:.1f}", f"{row.time.high:.1f}"
    return low if low == high else f"{low}–{high}"


def scaled(table: Table, value: float, sign: str = "") -> str:
    """Return a value of the metric in percent with one decimal, or as logged with four decimals."""
    return format(value * table.scale, f"{sign}.{1 if table.percent else 4}f")


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def markdown(table: Table) -> str:
    """Return the table in Markdown, padded for reading in a terminal."""
    return padded(cells(table))


def padded(texts: Sequence[Sequence[str]]) -> str:
    """Return a header and rows in Markdown, padded for reading in a terminal."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in texts]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded) + "\n"


def comma_separated(table: Table, seeds: Sequence[int | None]) -> str:
    """Return the table as CSV in full precision and logged units.

    Swept values are JSON, missing values are empty, and a seed that has diverged is ``nan``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    costs = ["params", "gflops", "ms_per_image", "ms_per_image_max", "peak_memory_gb"]
    names = ["n", "mean", "std", "paired", "difference", "low", "high", *EVIDENCE, "published", "published_std", *costs]
    names += ["stopped", "stopped_at_median"] if table.stopped_early else []
    over_images = any(row.images for row in table.rows)
    names += ["images_low", "images_high", "seeds_and_images_low", "seeds_and_images_high"] if over_images else []
    writer.writerow([*table.names, *(f"seed_{seed}" for seed in seeds), *names])
    for row in table.rows:
        gap = row.difference or Difference(math.nan, math.nan, math.nan, 0)
        values = ["nan" if row.values.get(seed, 0) is None else _csv(row.values.get(seed)) for seed in seeds]
        numbers = [len(row.scores), row.mean, row.std, gap.n if row.difference else None]
        numbers += [gap.mean, gap.low, gap.high, int(gap.own_variance) if row.difference else None, row.p]
        chance = row.superiority or Probability(math.nan, math.nan, math.nan)
        numbers += [chance.value, chance.low, chance.high]
        rest: list[float | None] = [row.published, row.published_std, row.params, row.gflops]
        rest += [row.ms, row.time.high if row.time else None, row.gigabytes]
        rest += [len(row.stops), statistics.median(row.stops) if row.stops else None] if table.stopped_early else []
        for found in (row.images, row.combined) if over_images else ():
            rest += [found.low, found.high] if found else [None, None]
        factors = [_json(row.arm.values[key]) for key in table.names]
        writer.writerow([*factors, *values, *map(_csv, numbers), row.claim or "", *map(_csv, rest)])
    return out.getvalue()


def _csv(number: float | None) -> str:
    return "" if number is None or math.isnan(number) else repr(number)


def _json(value: Any) -> str:
    """Return a level as JSON, 1.0 as 1; a huge number keeps its exponent."""
    return json.dumps(value if isinstance(value, float) and abs(value) >= 1e16 else plain(value))
