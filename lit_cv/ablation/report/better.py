"""The section on what got better: the analyses of the runs, arm by arm, as differences to the baseline."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from lit_cv.ablation.plots.gallery import shown_arms
from lit_cv.ablation.plots.style import few_digits
from lit_cv.ablation.results.intervals import mean_std
from lit_cv.ablation.results.study import Arm
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.statistics.comparisons import to_baseline
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.ablation.statistics.pool import make_pool
from lit_cv.analysis.contract import Number
from lit_cv.analysis.files import FOLDER, PAGE, is_current, read_numbers
from lit_cv.pages.document import environment

MOST = 3  # sentences about an arm
ALONE = (
    "The intervals of a number hold for all arms together, 95 % over the seeds (Dunnett), but not for all numbers "
    "together: of twenty numbers that do not change, one is expected to exclude 0. Sentences are made of numbers whose "
    "interval excludes 0."
)
Numbers = Mapping[int | None, Mapping[str, Number]]  # maps a seed to the numbers of its run


@dataclass(frozen=True)
class Better:
    """The section of the report.

    Attributes:
        sentences: What can be claimed of each arm, or that nothing can.
        header: Texts of the first row.
        rows: The number's name, the baseline's mean, and the difference of each arm with its interval.
        pages: Label and address of the analysis of each run, and of the comparisons of runs.
        notes: How to read it, and runs that are left out.
    """

    sentences: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    pages: Sequence[tuple[str, str]]
    notes: Sequence[str]

    def html(self) -> Markup:
        """Return the section as HTML."""
        template = environment(Path(__file__).parent).get_template("better.html.jinja")
        return Markup(template.render(better=self))

    def markdown(self) -> str:
        """Return the section as Markdown, without the links."""
        lines = ["## What got better", "", *(f"- {text}" for text in self.sentences), ""]
        cells = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells), "", *self.notes])


def find_better(table: Table, folder: Path) -> Better | None:
    """Compare the analyses of the arms with the baseline's; None if no run of the baseline has one.

    Of more than eight arms, the baseline and the best ones are compared. An analysis of other predictions than the run
    now has is left out.

    Args:
        table: The arms.
        folder: Folder of the report; addresses are relative to it.
    """
    arms = shown_arms(table)
    known = {id(arm): _numbers(arm) for arm in arms}
    reference = known.get(id(table.baseline))  # none while a sweep is active or of a search with many trials
    if not reference:
        return None
    others = [arm for arm in arms if arm is not table.baseline]
    shared = [own for arm in arms for own in known[id(arm)].values()]
    names = [name for name in shared[0] if all(name in own for own in shared)]
    rows, claims = [], {id(arm): list[tuple[float, str]]() for arm in others}
    for name in names:
        facts, scores = shared[0][name], [_values(known[id(arm)], name) for arm in arms]
        before = scores[arms.index(table.baseline)]
        mean = mean_std(list(before.values()))[0]
        row = [facts.words, _shown(mean, facts)]
        for arm, difference in zip(arms, _differences(scores, arms.index(table.baseline)), strict=True):
            if arm is table.baseline:
                continue
            row.append("–" if difference is None else in_cell(difference, facts))
            if difference and difference.beyond and mean:
                claims[id(arm)].append((abs(difference.mean / mean), in_words(_label(arm), facts, mean, difference)))
        rows.append(row)
    sentences = [text for arm in others for text in _claims(arm, claims[id(arm)])]
    header = ["number", f"baseline: {_label(table.baseline)}", *map(_label, others)]
    return Better(sentences, header, rows, list(_pages(arms, folder)), [ALONE, *_left_out(arms, known)])


def in_cell(difference: Difference, facts: Number) -> str:
    """Return a difference with its interval: ``+3.1 [+1.0, +5.2]``, percentages in points; one seed has none."""
    scale = 100 if facts.form == "percent" else 1
    text = f"{scale * difference.mean:+.1f}"
    if math.isnan(difference.low):
        return text
    return f"{text} [{scale * difference.low:+.1f}, {scale * difference.high:+.1f}]"


def in_words(label: str, facts: Number, mean: float, difference: Difference) -> str:
    """Return a sentence about a difference whose interval excludes 0.

    Args:
        label: The arm.
        facts: Words and form of the number.
        mean: Mean of the baseline.
        difference: The difference to it.
    """
    seeds = f"{in_cell(difference, facts)} over {difference.n} seeds"
    if facts.form == "count" and mean > 0:
        verb = "removes" if difference.mean < 0 else "adds"
        share = 100 * abs(difference.mean) / mean
        return f"{label} {verb} {share:.0f} % of the {facts.words} ({mean:,.0f} with the baseline; {seeds})."
    verb = "raises" if difference.mean > 0 else "lowers"
    return f"{label} {verb} {facts.words} from {_shown(mean, facts)} ({seeds})."


def _claims(arm: Arm, claims: list[tuple[float, str]]) -> list[str]:
    """Return the largest claims, relative to the baseline's mean."""
    if not claims:
        return [f"{_label(arm)}: no claim; no interval of these numbers excludes 0."]
    return [text for _, text in sorted(claims, key=lambda pair: -pair[0])[:MOST]]


def _numbers(arm: Arm) -> Numbers:
    found = {}
    for seed, run in arm.runs.items():
        own = read_numbers(run.folder / FOLDER)
        if own and own[0] and is_current(run.folder, own[1]):
            found[seed] = own[0]
    return found


def _values(known: Numbers, name: str) -> dict[int | None, float]:
    return {seed: own[name].value for seed, own in known.items() if math.isfinite(own[name].value)}


def _differences(scores: Sequence[Mapping[int | None, float]], baseline: int) -> list[Difference | None]:
    """Return each arm's difference to the baseline, with intervals that hold for all arms together."""
    if not scores[baseline]:
        return [None] * len(scores)
    return [estimate.difference if estimate else None for estimate in to_baseline(make_pool(scores), baseline)]


def _left_out(arms: Sequence[Arm], known: Mapping[int, Numbers]) -> list[str]:
    runs, analyzed = sum(len(arm.runs) for arm in arms), sum(len(known[id(arm)]) for arm in arms)
    if runs == analyzed:
        return []
    return [
        f"{runs - analyzed} of {runs} runs have no analysis of their predictions and are left out; `litcv report "
        "--analyze` makes them."
    ]


def _pages(arms: Sequence[Arm], folder: Path) -> Iterator[tuple[str, str]]:
    for arm in arms:
        for seed, run in arm.runs.items():
            for own in sorted(run.folder.glob(f"{FOLDER}*")):
                if (own / PAGE).is_file():
                    beside = own.name.removeprefix(FOLDER).removeprefix("_").replace("_", " ")
                    label = f"{_label(arm)}, seed {seed}" + (f", {beside}" if beside else "")
                    yield label, quote(Path(os.path.relpath(own / PAGE, folder)).as_posix())


def _label(arm: Arm) -> str:
    return few_digits(arm.label)


def _shown(value: float, facts: Number) -> str:
    if math.isnan(value):
        return "–"
    return {"percent": f"{100 * value:.1f}", "count": f"{value:,.0f}"}.get(facts.form, f"{value:,.3g}")
