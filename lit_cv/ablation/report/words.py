"""The words of a report: the line of facts and the notes below the table."""

from lit_cv.ablation.results.cells import scaled
from lit_cv.ablation.results.published import Published
from lit_cv.ablation.results.scores import BEST, LAST
from lit_cv.ablation.results.study import Run, Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.sweep.labels import CONFIG
from lit_cv.runs.settings import distinct

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
    notes = [*_about_published(study, table, published), *_about_null(table), *_about_time(study, table)]
    if CONFIG in table.names:
        notes.append("config: the arms are whole networks; only the network and its loss weights may differ.")
    unit = ", in percent" if table.percent else ""
    notes.append(
        f"{table.metric}: {VALUES[table.value]}{unit}, mean ± standard deviation over seeds. Δ: difference to the "
        "baseline, paired by seed, with its 95 % Student-t interval (not corrected for several comparisons)."
    )
    return notes


def _about_null(table: Table) -> list[str]:
    keys = [key for key in table.names if any(row.arm.values[key] is None for row in table.rows)]
    return [f"{table.names[key]} null: {NULL.get(key, f'{key} is not set, so its default applies')}." for key in keys]


def _about_time(study: Study, table: Table) -> list[str]:
    """Return how the times were measured, if they were."""
    runs = [run for _, run in study.runs if run.result.get("seconds_per_image") is not None]
    if not runs or all(row.time is None for row in table.rows):
        return []
    machines = distinct((run.result.get("hardware", {}).get("device"), _threads(run)) for run in runs)
    precisions = distinct(run.config.get("trainer.precision") or "32-true" for run in runs)
    places = " or ".join(f"{device}{threads}" for device, threads in machines)
    return [
        f"ms/image: shortest–longest measurement of `predict` with a batch of one image, in {' or '.join(precisions)}, "
        f"on {places}, after each run and perhaps beside other runs; networks of the same structure share it."
    ]


def _threads(run: Run) -> str:
    threads = run.result.get("hardware", {}).get("threads")
    return f", threads: {threads}" if threads else ""


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
