"""The words of a report: the line of facts and the notes below the table."""

from collections.abc import Mapping, Sequence
from typing import Any

from lit_cv.ablation.report.claims import statistics_notes
from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.published import Published
from lit_cv.ablation.results.scores import BEST, LAST
from lit_cv.ablation.results.study import Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.timing import Alone, measured_alone
from lit_cv.ablation.sweep.labels import CONFIG
from lit_cv.runs.settings import distinct

FEW_GROUPS = 3  # groups of parameters whose rates are listed
BUSY = 0.1  # share of the processors from which other programs are named
NULL = {"model.network.trainable_layers": "every layer of the backbone is trained"}
VALUES = {
    LAST: "value at the end of training",
    BEST: "best of all validations of a run, chosen on the validation data themselves and so too good",
}


def facts(study: Study, table: Table, *, controlled: bool) -> str:
    """Return one line with seeds, budget, commit, data and whether the comparison is controlled."""
    runs = [run for _, run in study.runs]
    steps = [f"{count:,}" for count in sorted({run.result["steps"] for run in runs})]
    budget = f"{' to '.join(steps[:: max(1, len(steps) - 1)])} steps" if steps else "no run finished"
    commits = " ".join(sorted({str(run.result["git"].get("commit") or "unknown")[:7] for run in runs}))
    prints = " ".join(sorted({str(run.result["data"]["fingerprint"])[:7] for run in runs}))
    seeds = _seeds(study, table)
    if study.method != "grid":
        seeds = f"{len(runs)} trials of a {study.method} search"
    waiting = f"{len(study.unfinished)} of {len(runs) + len(study.unfinished)} runs unfinished"
    images = distinct(run.result["data"].get("counts", {}).get("val/images") for run in runs)
    shown = (
        [f"{' or '.join(f'{count:,}' for count in images)} validation images"] if images and None not in images else []
    )
    parts = [*([waiting] if study.unfinished else []), seeds, budget, *shown, f"commit {commits}", f"data {prints}"]
    parts.append(f"controlled: {'yes' if controlled else 'no'}")
    return " · ".join(parts)


def _seeds(study: Study, table: Table) -> str:
    """Return the number of seeds, and how many of them are paired where it differs between the rows."""
    if len(study.seeds) < 2:
        return "1 seed"
    paired = sorted({row.difference.n if row.difference else 0 for row in table.rows if row.arm is not table.baseline})
    if not paired or paired == [len(study.seeds)]:
        return f"{len(study.seeds)} paired seeds"
    return f"{len(study.seeds)} seeds, {' to '.join(map(str, paired[:: max(1, len(paired) - 1)]))} paired"


def remarks(study: Study, table: Table, published: Published | None) -> list[str]:
    """Return notes: agreement with the published order, source of the published numbers, and how to read the table."""
    notes = [*_about_published(study, table, published), *_about_null(table), *_about_rates(table)]
    notes += _about_time(study, table)
    if CONFIG in table.names:
        notes.append("config: the arms are whole networks; only the network and its loss weights may differ.")
    unit = ", in percent" if table.percent else ""
    notes.append(f"{table.metric}: {VALUES[table.value]}{unit}, mean ± standard deviation over seeds.")
    return [*notes, *statistics_notes(table)]


def _about_null(table: Table) -> list[str]:
    keys = [key for key in table.names if any(row.arm.values[key] is None for row in table.rows)]
    return [f"{table.names[key]} null: {NULL.get(key, f'{key} is not set, so its default applies')}." for key in keys]


def _about_rates(table: Table) -> list[str]:
    """Return the highest learning rates that were used, where arms differ in them."""
    rates = {row.arm.label: _rates([run.result for run in row.arm.runs.values()]) for row in table.rows}
    if len(set(rates.values())) < 2:
        return []
    return [
        f"Highest learning rates that were used: {few((f'{label} {text}' for label, text in rates.items()), '; ')}."
    ]


def _rates(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the highest rate of some runs, or those of their groups of parameters."""
    used = [result.get("optimization", {}).get("learning_rate", {}) for result in results]
    groups = used[0].get("groups", {})
    if 0 < len(groups) <= FEW_GROUPS:
        return f"({', '.join(f'{name} {rate:g}' for name, rate in groups.items())})"
    rates = sorted(set(groups.values()) or {rates["peak"] for rates in used if "peak" in rates})
    span = " to ".join(f"{rate:g}" for rate in rates[:: max(1, len(rates) - 1)]) or "unknown"
    return f"({span} in {len(groups)} groups)" if groups else span


def _about_time(study: Study, table: Table) -> list[str]:
    """Return how the times were measured, if they were."""
    if all(row.time is None for row in table.rows):
        return []
    if alone := measured_alone(study):
        return _about_alone(study, alone)
    runs = [run for _, run in study.runs if run.result.get("seconds_per_image") is not None]
    precisions = distinct(run.config.get("trainer.precision") or "32-true" for run in runs)
    return [
        f"ms/image: shortest–longest measurement of predict with a batch of one image, in {' or '.join(precisions)}, "
        f"on {_places([run.result for run in runs])}, during the runs: after each one and perhaps beside others; "
        "networks of the same structure share it. litcv report --measure measures all of them alone and in turns."
    ]


def _about_alone(study: Study, alone: Alone) -> list[str]:
    found = [entry for content in alone.files for entry in content["structures"]]
    precisions = distinct(entry.get("precision", "32-true") for entry in found)
    rounds = sorted({time.count for time in alone.times.values()})
    text = (
        f"ms/image: predict with a batch of one image, in {' or '.join(map(str, precisions))}, on "
        f"{_places(alone.files)}, measured alone after the runs, all networks in turns: shortest–upper quartile of "
        f"{' to '.join(map(str, rounds[:: max(1, len(rounds) - 1)]))} rounds; networks of the same structure share it."
    )
    busy = [content["other_work"] for content in alone.files if isinstance(content.get("other_work"), int | float)]
    if busy and max(busy) >= BUSY:
        text += f" Other programs used {max(busy):.0%} of the machine's processors meanwhile."
    if len({content.get("measured") for content in alone.files}) > 1:
        text += " The groups were measured one after the other; litcv report --measure measures them together."
    return [text]


def _places(records: Sequence[Mapping[str, Any]]) -> str:
    """Name the machines of some records, with the number of threads."""
    hardware = [record.get("hardware", {}) for record in records]
    machines = distinct((known.get("device"), known.get("threads")) for known in hardware)
    return " or ".join(f"{device}{f', threads: {threads}' if threads else ''}" for device, threads in machines)


def _about_published(study: Study, table: Table, published: Published | None) -> list[str]:
    if published is None:
        return []
    rows = [row for row in table.rows if row.published is not None]
    if not rows:
        return [
            f"Published: none of the {len(published.values)} rows of {published.file} matches an arm of these runs."
        ]
    notes = []
    if order := table.order:
        undecided = order.pairs - order.reproduced - order.contradicted
        notes.append(
            f"Order of the published arms, beyond the interval: {order.reproduced} of {order.pairs} pairs reproduced, "
            f"{order.contradicted} contradicted; of {undecided} nothing can be said."
        )
    if useless := [row for row in table.no_better if row.published is not None]:
        notes.append(
            f"{len(useless)} of {len(rows)} published arms are not better than a predictor without training "
            f"({scaled(table, table.facts.trivial or 0.0)}), so nothing is said about their order."
        )
    if differences := published.differences(study):
        notes.append(f"These runs do not follow the published protocol: {'; '.join(differences)}.")
    return [*notes, f"Published: {published.source}."]
