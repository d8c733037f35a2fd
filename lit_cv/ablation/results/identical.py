"""Finds arms, and seeds of an arm, whose runs are bit-identical: the setting that distinguishes them has no effect."""

from collections import defaultdict
from collections.abc import Iterable

from lit_cv.ablation.results.study import Arm, Run, Study
from lit_cv.ablation.sweep.labels import short_names
from lit_cv.runs.files import read_rows
from lit_cv.runs.settings import canonical, distinct

RATE = "train/lr"  # a logged setting, not an outcome
RATE_KEYS = ("model.optimizer.lr", "model.optimizer")
MOST_NAMED = 3


def without_effect(study: Study) -> list[str]:
    """Return one sentence for each swept key without effect, and for each arm whose seeds are bit-identical.

    Two arms are bit-identical if their runs agree to the last bit in every logged value, for every seed.
    """
    arms = [arm for arm in study.arms if arm.runs]
    groups = [group for group in _groups(arms) if len(group) > 1]
    useless = {key: pairs for key in study.swept if (pairs := _useless_in(key, arms, groups))}
    texts = [_without_effect(key, found) for key, found in useless.items()]
    for group in groups:
        differ = [key for key in study.swept if len(distinct(arm.values[key] for arm in group)) > 1]
        if not set(differ) <= set(useless):
            keys = " and ".join(short_names(differ).values())
            labels = few((f"'{arm.label}'" for arm in group), "; ")
            texts.append(f"{len(group)} arms are bit-identical in every seed, so {keys} has no effect here: {labels}.")
    return texts + [text for arm in arms for text in _equal_seeds(arm)]


def few(names: Iterable[str], separator: str = ", ") -> str:
    """Return the first three names and the number of the others."""
    names = list(names)
    left = len(names) - MOST_NAMED
    return separator.join(names[:MOST_NAMED]) + (f" and {left} more" if left > 0 else "")


def _groups(arms: Iterable[Arm]) -> list[list[Arm]]:
    """Return the arms in groups of bit-identical ones."""
    groups: list[list[Arm]] = []
    by_outcome: defaultdict[str, list[list[Arm]]] = defaultdict(list)  # spares most comparisons
    for arm in sorted(arms, key=_was_stopped):
        outcome = canonical([[seed, run.result["steps"], run.metrics] for seed, run in arm.runs.items()])
        candidates = groups if _was_stopped(arm) else by_outcome[outcome]
        group = next((group for group in candidates if _same_arms(group[0], arm)), None)
        if group is None:
            groups.append([arm])
            by_outcome[outcome].append(groups[-1])
        else:
            group.append(arm)
    return groups


def _was_stopped(arm: Arm) -> bool:
    return any(run.result.get("stopped_early") for run in arm.runs.values())


def _same_arms(first: Arm, second: Arm) -> bool:
    return first.runs.keys() == second.runs.keys() and all(
        _same_runs(run, second.runs[seed]) for seed, run in first.runs.items()
    )


def _same_runs(first: Run, second: Run) -> bool:
    """Return whether two runs agree in every logged value; of a run that was stopped early, up to its end."""
    short, long = sorted((first, second), key=lambda run: int(run.result["steps"]))
    if short.result["steps"] == long.result["steps"]:
        if short.metrics != long.metrics:
            return False
    elif not short.result.get("stopped_early"):
        return False
    values, others = _log(short), _log(long)
    shared = values.keys() & others.keys()
    outcomes = {short.metrics[name] for name in short.metrics} | {values[key] for key in shared}
    return any(outcomes - {None, 0.0, "0.0", "nan"}) and all(
        values[key] == others[key] for key in shared if key[1] != RATE
    )


def _log(run: Run) -> dict[tuple[str, str], str]:
    """Return all logged values by step and name; of a step repeated after a resume, the last value counts."""
    return {(step, name): value for step, _, name, value in read_rows(run.folder)}


def _useless_in(key: str, arms: list[Arm], groups: list[list[Arm]]) -> list[Arm]:
    """Return the arms with neighbors in ``key`` alone, if all are bit-identical to their neighbors, or else none."""
    place = {id(arm): number for number, group in enumerate(groups) for arm in group}
    lines: defaultdict[str, list[Arm]] = defaultdict(list)
    for arm in arms:
        lines[canonical({name: value for name, value in arm.values.items() if name != key})].append(arm)
    compared = [line for line in lines.values() if len(line) > 1]
    if all(len({place.get(id(arm), -id(arm)) for arm in line}) == 1 for line in compared):
        return [arm for line in compared for arm in line]
    return []


def _without_effect(key: str, arms: list[Arm]) -> str:
    config = next(iter(arms[0].runs.values())).config
    scheduler = str(config.get("model.scheduler.class_path")).rpartition(".")[2]
    overruled = key in RATE_KEYS and config.get("model.scheduler.max_lr") is not None
    reason = f" {scheduler} takes its rate from model.scheduler.max_lr; sweep that." if overruled else ""
    named = few((f"'{arm.label}'" for arm in arms), "; ")
    return (
        f"The swept key {key} has no effect: arms that differ in it are bit-identical in every seed ({named}).{reason}"
    )


def _equal_seeds(arm: Arm) -> list[str]:
    groups: list[list[int | None]] = []
    for seed, run in arm.runs.items():
        group = next((group for group in groups if _same_runs(arm.runs[group[0]], run)), None)
        if group is None:
            groups.append([seed])
        else:
            group.append(seed)
    return [
        f"Arm {arm.label}: its seeds {few(map(str, group))} are bit-identical, so they are one result and have no "
        "spread."
        for group in groups
        if len(group) > 1
    ]
