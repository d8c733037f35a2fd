"""The reproducibility checklist of a study, filled from the records of its runs.

The items follow two published lists: the NeurIPS Paper Checklist (numbers 4 to 8 and 12 of its guidelines) and the
Machine Learning Reproducibility Checklist, version 2.0 (Pineau 2020), which the ML Reproducibility Challenge uses. An
item that the records cannot fill is a question to the author.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.ablation.report.licenses import stated_licenses
from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.scores import LAST
from lit_cv.ablation.results.study import Run, Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.sweep.jobs import FAILED
from lit_cv.ablation.sweep.labels import show, show_level
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.runs.settings import distinct

NEURIPS = "https://neurips.cc/public/guides/PaperChecklist"
PINEAU = "https://www.cs.mcgill.ca/~jpineau/ReproducibilityChecklist-v2.0.pdf"
SOURCE = (
    f"Items: N4 to N12 are those of the NeurIPS Paper Checklist ({NEURIPS}), R those of the Machine Learning "
    f"Reproducibility Checklist, version 2.0, of the ML Reproducibility Challenge ({PINEAU})."
)
HOUR = 3600.0
LIMITS = ("limit_train_batches", "limit_val_batches", "overfit_batches", "fast_dev_run")


class Item(NamedTuple):
    """One item of the checklist.

    Attributes:
        name: What it is about.
        source: The items of the published lists.
        answers: What the records say.
        question: What the author has to answer; empty if the records say all.
    """

    name: str
    source: str
    answers: Sequence[str]
    question: str = ""


def checklist(study: Study, table: Table) -> list[Item]:
    """Return the items, filled from the records of the runs."""
    runs = [run for _, run in study.runs]
    return [
        _seeds(study, table),
        Item("Search space", "N6, R", _space(study)),
        Item("All other settings", "N6, R", _settings(runs)),
        Item("Budget of a run", "N6, R", _budget(runs)),
        _number_of_runs(study, table),
        _choice(study, table, runs),
        Item("Measure and its spread", "N7, R", [f"{table.title}: mean ± standard deviation over the seeds; the note "
             "below the table says how its intervals are made."]),
        _time(runs),
        Item("Energy", "R", ["Not recorded."], "How much energy did the runs use, if you can measure or estimate it?"),
        Item("Hardware", "N8, R", _counted(runs, "hardware")),
        _data(runs),
        _license(runs),
        _code(runs),
        Item("Versions", "N5, R", _counted(runs, "versions")),
        Item("Commands", "N4, R", ["commands.txt has the command of each run and of the report."]),
    ]  # fmt: skip


def as_markdown(title: str, items: Sequence[Item]) -> str:
    """Return the checklist as Markdown."""
    lines = [f"# Reproducibility checklist: {title}", "", SOURCE, ""]
    for item in items:
        lines += [f"## {item.name} ({item.source})", "", *(f"- {answer}" for answer in item.answers)]
        lines += [f"- **Question to the author:** {item.question}"] if item.question else []
        lines.append("")
    return "\n".join(lines)


def _seeds(study: Study, table: Table) -> Item:
    known = [str(seed) for seed in study.seeds if seed is not None]
    text = f"{len(known)}: {', '.join(known)}; each arm has the same ones." if known else "No seed was set."
    uneven = {len(row.values) for row in table.rows}
    if len(uneven) > 1:
        text = f"{', '.join(known)}; arms have {min(uneven)} to {max(uneven)} of them."
    return Item("Seeds", "N7, R", [text])


def _space(study: Study) -> list[str]:
    levels = {key: distinct(show_level(key, arm.values[key]) for arm in study.arms) for key in study.swept}
    method = f"Method: {study.method}. Arms: {len(study.arms)}."
    return [method, *(f"`{key}`: {few(map(str, found), ' | ')}" for key, found in levels.items())]


def _settings(runs: Sequence[Run]) -> list[str]:
    files = distinct(run.experiment for run in runs if run.experiment)
    named = f" They come from {' and '.join(files)} and the commands." if files else ""
    return [f"config.yaml in the folder of each run has all settings, defaults included.{named}"]


def _budget(runs: Sequence[Run]) -> list[str]:
    steps = _span([run.result["steps"] for run in runs], "{:,}")
    epochs = _span([run.result["epochs"] for run in runs], "{:,}")
    batches = distinct((run.result.get("optimization") or {}).get("global_batch_size") for run in runs)
    text = f"{steps} steps, {epochs} epochs, {' or '.join(str(size or 'unknown') for size in batches)} images a step."
    early = [run.name for run in runs if run.result.get("stopped_early")]
    return [text, *([f"{len(early)} runs ended before their budget ({few(early)})."] if early else [])]


def _number_of_runs(study: Study, table: Table) -> Item:
    failed = [run for run in study.unfinished if (run.folder / FAILED).exists()]
    diverged = sum(row.diverged for row in table.rows)
    total = len(study.runs) + len(study.unfinished)
    texts = [
        f"{len(study.runs)} of {total} planned runs finished; {diverged} of them diverged ({table.metric} is not "
        f"finite); {len(failed)} failed; {len(study.unfinished) - len(failed)} are unfinished or were never started."
    ]
    texts += [f"{run.folder.parent.name}/{run.folder.name}: {_reason(run.folder)}" for run in failed]
    return Item("Number of runs", "R", texts, "How many further runs, such as trials before this study, were made?")


def _reason(folder: Path) -> str:
    try:
        failure = read_json(folder / FAILED)
    except UserError:
        return "failed; its record is damaged."
    return f"{failure.get('reason')}: {failure.get('error')}" if failure.get("error") else str(failure.get("reason"))


def _choice(study: Study, table: Table, runs: Sequence[Run]) -> Item:
    last = (
        "that of its last validation; nothing is chosen" if table.value == LAST else "the best of all its validations"
    )
    best = distinct(
        (run.result["best"]["metric"], run.result["best"]["mode"]) for run in runs if run.result.get("best")
    )
    kept = [f"best.ckpt of a run is the checkpoint with the {mode} of {name}." for name, mode in best]
    split = table.metric.partition("/")[0]
    question = f"Were settings of the baseline or of the arms chosen on the {split} data that the table reports?"
    return Item("Choice of the best", "N6, R", [f"The value of a run is {last}.", *kept], question)


def _time(runs: Sequence[Run]) -> Item:
    hours: Counter[str] = Counter()
    for run in runs:
        hardware = run.result.get("hardware") or {}
        devices, device = hardware.get("devices", 1), str(hardware.get("device", "an unknown device"))
        hours[device] += run.result["fit_seconds"] * devices / HOUR
    texts = [f"{total:.2f} {_unit(device)} on {device}." for device, total in hours.items()]
    mean = sum(run.result["fit_seconds"] for run in runs) / max(1, len(runs)) / 60
    texts.append(f"{mean:.1f} minutes a run on average. Counted is training with its validations, from the first step.")
    question = "Did the whole project need more, such as failed or preliminary runs that are not in this report?"
    return Item("Compute", "N8, R", texts, question)


def _unit(device: str) -> str:
    """Return what an hour of a device is called: processors say so in their name."""
    is_cpu = any(word in device.lower() for word in ("cpu", "core", "processor"))
    return "CPU-hours (hours of a process)" if is_cpu else "GPU-hours"


def _counted(runs: Sequence[Run], name: str) -> list[str]:
    """Return the different records of a name, with the number of runs if there are several."""
    records = [run.result.get(name) or {} for run in runs]
    texts = [", ".join(f"{key} {value}" for key, value in record.items()) or "Not recorded." for record in records]
    counts = Counter(texts)
    return [text if len(counts) == 1 else f"{text} ({count} runs)" for text, count in counts.items()]


def _data(runs: Sequence[Run]) -> Item:
    texts = []
    for record in distinct(run.result["data"] for run in runs):
        counts = ", ".join(f"{name} {count:,}" for name, count in (record.get("counts") or {}).items())
        texts.append(f"Fingerprint {record['fingerprint']}: {counts or 'no counts recorded'}.")
    for key in ("class_path", "source", "train_sets", "val_sets", "split"):
        values = distinct(run.config.get(f"data.{key}") for run in runs)
        texts += (
            [f"`data.{key}`: {' or '.join(map(show, values))}"] if any(value is not None for value in values) else []
        )
    limited = {key: distinct(run.config.get(f"trainer.{key}") for run in runs) for key in LIMITS}
    left = [f"`trainer.{key}`: {' or '.join(map(show, values))}" for key, values in limited.items() if any(values)]
    texts += [f"Data is left out by {', '.join(left)}."] if left else []
    return Item("Data and split", "N6, R", texts, "Where can a reader get the data, and was any of it left out before?")


def _license(runs: Sequence[Run]) -> Item:
    question = "Under which license is the data, and do you name its authors?"
    if all(run.config.get("data.source") == "shapes" for run in runs):
        return Item("License of the data", "N12", ["The images are generated by lit-cv (`data.source`: shapes)."])
    texts, unclear = [], False
    for root in distinct(run.config.get("data.root") for run in runs):
        found = stated_licenses(Path(str(root))) if root else []
        unclear |= not found
        absent = "not looked for, the data is not here" if not Path(str(root)).is_dir() else "not stated in the data"
        texts.append(f"{root}: {'; '.join(found) or absent}.")
    return Item("License of the data", "N12", texts, question if unclear else "")


def _code(runs: Sequence[Run]) -> Item:
    commits = Counter(str(run.result["git"].get("commit") or "unknown") for run in runs)
    texts = [f"Commit {commit} ({count} runs)." for commit, count in commits.items()]
    dirty = [run.name for run in runs if run.result["git"].get("dirty")]
    changed = f"{len(dirty)} runs have uncommitted changes ({few(dirty)})." if dirty else "No uncommitted changes."
    return Item("Code", "N5, R", [*texts, changed], "Where can a reader get this commit?")


def _span(numbers: Sequence[Any], form: str) -> str:
    ends = sorted(set(numbers))
    return " to ".join(form.format(number) for number in ends[:: max(1, len(ends) - 1)]) or "no"
