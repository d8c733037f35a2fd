"""Checks that runs are comparable: they may differ only in the swept keys and the seed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lit_cv.ablation.results.identical import few, without_effect
from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.ablation.sweep.labels import CLASS, CONFIG, show
from lit_cv.ablation.sweep.sweep_file import SEED
from lit_cv.runs.sameness import PLACES, contents
from lit_cv.runs.settings import canonical, distinct

IGNORED_KEYS = (SEED, "run", "resume", CONFIG, "ckpt_path", *PLACES)  # the fingerprint of the data is compared
OF_THE_NETWORK = ("model.network", "model.loss_weights")  # settings that a swept experiment file may change
BUDGET_KEYS = ("trainer.max_steps", "trainer.max_epochs", "trainer.max_time")
BATCH_KEYS = ("batch_size", "accumulate_grad_batches")
LIMITS = {
    "limit_val_batches": "validation data",
    "limit_train_batches": "training data",
    "overfit_batches": "data",
    "fast_dev_run": "data",
}
UNSET = "unset"
DATA = "data fingerprint"

Member = tuple[Arm, Run]


@dataclass(frozen=True)
class Finding:
    """A reason to distrust a comparison: names the run or arm, the difference and the expected value.

    Attributes:
        text: One sentence.
        refuses: Whether no report is written without ``--force``.
        controlled: Whether the comparison is still controlled.
    """

    text: str
    refuses: bool
    controlled: bool = True


def check(study: Study, *, partial: bool = False) -> list[Finding]:
    """Compare all runs of a study.

    Args:
        study: The runs.
        partial: Whether the sweep is still active, so that no run counts as missing.

    Returns:
        Refusals first, then warnings (bit-identical arms, uncommitted changes, versions, hardware).
    """
    searched = study.method != "grid"  # a search continues without failed trials
    waiting = [] if partial else [run.problem for run in study.unfinished]
    lacking = [*study.problems, *waiting]
    refusals = [
        *([] if searched else lacking),
        *([] if searched or partial else _missing_seeds(study)),
        *_configs(study),
        *_commits(study),
        *_starts(study),
        *_data(study),
        *_budgets(study),
    ]
    warnings = [*without_effect(study), *(lacking if searched else []), *_stopped_early(study)]
    warnings += [*_swept_data(study), *_continued(study), *_dirty(study), *_without_commit(study), *_environment(study)]
    return [
        *(Finding(text, True, controlled=False) for text in refusals),
        *(Finding(text, False, controlled=False) for text in [*_limited(study), *_other_batches(study)]),
        *(Finding(text, False) for text in warnings),
    ]


def _missing_seeds(study: Study) -> list[str]:
    expected = len(study.seeds)
    return [
        f"Arm {arm.label}: seed {seed} is missing; expected {expected} seeds ({', '.join(map(str, study.seeds))})."
        for arm in study.arms
        for seed in study.seeds
        if seed not in arm.runs
    ]


def _configs(study: Study) -> list[str]:
    """Compare the settings outside the swept keys.

    If the experiment file itself is swept, the arms are whole networks. Then settings of the network must agree only
    among the runs of the same file. All other settings (data, optimizer, budget) must agree among all runs.
    """
    keys = sorted({key for _, run in study.runs for key in run.config})
    swept = [key.removesuffix(f".{CLASS}") for key in study.swept]  # the defaults of a class belong to it
    compared = [key for key in keys if not _within(key, IGNORED_KEYS) and not _within(key, swept)]
    by_file: defaultdict[str | None, list[Member]] = defaultdict(list)
    for arm, run in study.runs:
        by_file[arm.values.get(CONFIG)].append((arm, run))
    return [
        text
        for key in compared
        for members in (by_file.values() if _within(key, OF_THE_NETWORK) else [study.runs])
        for text in _outliers(members, key, partial(_setting, key=key))
    ]


def _setting(run: Run, key: str) -> Any:
    return contents(key, run.config.get(key, UNSET), run.config)


def _within(key: str, prefixes: Sequence[str]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _commits(study: Study) -> list[str]:
    return _outliers(study.runs, "git commit", lambda run: str(run.result["git"].get("commit"))[:7])


def _starts(study: Study) -> list[str]:
    """Compare the checkpoints of other runs (`--ckpt_path`) from which the runs started."""
    if "ckpt_path" in study.swept:
        return []
    return _outliers(study.runs, "start", lambda run: (run.result.get("started_from") or {}).get("checkpoint", "new"))


def _continued(study: Study) -> list[str]:
    """Warn of runs that were continued with other code."""
    found = [run for _, run in study.runs if run.result["git"].get("earlier_commits")]
    if not found:
        return []
    git = found[0].result["git"]
    commits = [*git["earlier_commits"], git.get("commit")]
    way = " to ".join(str(commit)[:7] for commit in commits)
    return [f"{len(found)} runs were continued on another commit ({few([run.name for run in found])}: {way})."]


def _other_batches(study: Study) -> list[str]:
    """Return a sentence for the runs that were continued with another batch size."""
    found = [(run, sizes) for _, run in study.runs if (sizes := run.result.get("optimization", {}).get("batch_sizes"))]
    if not found:
        return []
    name, (first, *others) = found[0][0].name, found[0][1]
    way = ", ".join(f"{other['size']} from step {other['from_step']}" for other in others)
    return [f"{len(found)} runs were continued with another data.batch_size ({name}: {first['size']}, {way})."]


def _data(study: Study) -> list[str]:
    """Compare the fingerprints of all arms that share the swept ``data.*`` values."""
    return [text for members in _by_data(study).values() for text in _outliers(members, DATA, _fingerprint)]


def _swept_data(study: Study) -> list[str]:
    """Warn if a swept ``data.*`` key changes the data themselves."""
    settings = list(_by_data(study).values())
    differ = len({_fingerprint(run) for _, run in study.runs}) > 1
    return [f"The swept data keys change the data themselves: {DATA}s differ."] if len(settings) > 1 and differ else []


def _by_data(study: Study) -> dict[str, list[Member]]:
    keys = [key for key in study.swept if key.startswith("data.")]
    groups: defaultdict[str, list[Member]] = defaultdict(list)
    for arm, run in study.runs:
        groups[canonical([arm.values[key] for key in keys])].append((arm, run))
    return groups


def _fingerprint(run: Run) -> str:
    return str(run.result["data"]["fingerprint"])


def _budgets(study: Study) -> list[str]:
    """Compare steps and epochs, unless they are swept; arms of different batch sizes must agree in one of the two."""
    if any(_within(key, BUDGET_KEYS) for key in study.swept):
        return []
    whole = [(arm, run) for arm, run in study.runs if not run.result.get("stopped_early")]
    steps = _outliers(whole, "steps", lambda run: run.result["steps"])
    epochs = _outliers(whole, "epochs", lambda run: run.result["epochs"])
    if any(key.endswith(BATCH_KEYS) for key in study.swept) and not (steps and epochs):
        return []
    return steps + epochs


def _stopped_early(study: Study) -> list[str]:
    """Warn of runs that ended with a smaller budget than the others, by the name of the reason."""
    texts = []
    for reason in sorted({reason for _, run in study.runs if (reason := _reason(run))}):
        names = [run.name for _, run in study.runs if _reason(run) == reason]
        texts.append(f"{len(names)} runs were stopped early by {reason}, before their budget ({few(names)}).")
    return texts


def _reason(run: Run) -> str | None:
    return run.result.get("stopped_by", "Hyperband") if run.result.get("stopped_early") else None


def _limited(study: Study) -> list[str]:
    """Return a sentence for each option that leaves out data; all arms share it, or it would be refused."""
    texts = []
    for key, part in LIMITS.items():
        found = distinct(value for _, run in study.runs if _limits(value := run.config.get(f"trainer.{key}")))
        if found:
            texts.append(f"trainer.{key} is {' or '.join(map(show, found))}: only a part of the {part} was used.")
    return texts


def _limits(value: Any) -> bool:
    """Return whether a limit of Lightning leaves out data: null, false, 0 and 1.0 do not, but the integer 1 does."""
    return bool(value) and not (isinstance(value, float) and value == 1.0)


def _dirty(study: Study) -> list[str]:
    dirty = [run.name for _, run in study.runs if run.result["git"].get("dirty")]
    return [f"{len(dirty)} runs come from a working tree with uncommitted changes ({few(dirty)})."] if dirty else []


def _without_commit(study: Study) -> list[str]:
    unknown = [run.name for _, run in study.runs if not run.result["git"].get("commit")]
    return [f"{len(unknown)} runs do not know their git commit ({few(unknown)})."] if unknown else []


def _environment(study: Study) -> list[str]:
    texts = []
    for part in ("versions", "hardware"):
        names = sorted({name for _, run in study.runs for name in run.result.get(part, {})})
        for name in names:
            found: defaultdict[str, list[str]] = defaultdict(list)
            for _, run in study.runs:
                found[str(run.result.get(part, {}).get(name, UNSET))].append(run.name)
            if len(found) > 1:
                sides = "; ".join(f"{value} in {len(runs)} ({few(runs)})" for value, runs in found.items())
                texts.append(f"Runs differ in {part} {name}: {sides}.")
    return texts


def _outliers(members: Sequence[Member], what: str, value_of: Callable[[Run], Any]) -> list[str]:
    """Return one sentence per arm (or run) whose value is not the most frequent one."""
    if len({repr(value_of(run)) for _, run in members}) < 2:  # the most frequent case by far
        return []
    values = {run.name: value_of(run) for _, run in members}
    counts = Counter(canonical(value) for value in values.values())
    if len(counts) < 2:
        return []
    most, count = counts.most_common(1)[0]
    expected = f"expected {most.strip(chr(34))} as in {count} of {len(values)} runs"
    odd: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for arm, run in members:
        if canonical(values[run.name]) != most:
            odd[arm.label, canonical(values[run.name])].append(run)
    sizes = Counter(arm.label for arm, _ in members)
    return [
        f"{_who(label, runs, whole=len(runs) == sizes[label])}: {what} is {value.strip(chr(34))}, {expected}."
        for (label, value), runs in odd.items()
    ]


def _who(label: str, runs: Sequence[Run], *, whole: bool) -> str:
    if whole and len(runs) > 1:
        return f"Arm {label}"
    named = ", ".join(f"{run.name} (seed {run.seed})" for run in runs)
    return f"Run {named} of arm {label}"
